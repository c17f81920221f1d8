//! What a provider is: where its webhooks carry id, topic and signature, and how long it keeps trying.
//!
//! A provider is one data file in `providers/` ([`ProviderFile`] is its form, `providers/README.md` its
//! manual). This module reads the files, refuses the ones that contradict themselves, and finds a
//! webhook's [`Identity`]. Checking signatures is [`crate::verification`]'s; which source uses which
//! provider with which secrets is the configuration's.
//!
//! It knows nothing of HTTP servers or of AMQP, and does no I/O. It does not promise that an id is
//! authentic: many providers sign the body only ([`Provider::id_signed`] says so).

mod answer_rule;
mod body_path;
mod catalogue;
mod check;
mod elements_path;
mod error;
mod file;
mod header_name;
mod identity;
mod sample;
mod signature_rule;
mod template;
mod value_part;

use std::time::Duration;

pub use answer_rule::{AnswerRule, Condition, Handshake, HandshakeAnswer, SubscriptionRule};
pub use body_path::{BodyPath, BodyPathError, Found};
pub use catalogue::{Catalogue, CatalogueError};
pub use elements_path::{ElementsPath, ElementsPathError, MAX_ELEMENTS, SplitError};
pub use error::{Mistake, ProviderError};
pub use file::{BatchRule, BodyHash, IdRule, Place, ProviderFile, Sure, TopicRule};
pub use header_name::{HeaderName, HeaderNameError};
pub use identity::{Field, Identity, IdentityError};
pub use sample::Sample;
pub use signature_rule::{
    Algorithm, BasicRule, CertificateRule, Encoding, Hash, KeyEncoding, KeyRule, SignatureRule, SignedRule,
    TimestampRule, TimestampUnit, TokenRule, UrlPort,
};
pub use template::{Part, Template, TemplateError};
pub use value_part::{ValuePart, ValuePartError};

use crate::name::Name;
use crate::verification::Headers;

/// Longest id or topic, in bytes: what an AMQP short string holds
/// (<https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, 4.2.5.3).
pub const MAX_SHORT_STRING_BYTES: usize = 255;

/// Longest value of a header in `keep_headers`, in bytes. With at most [`MAX_KEPT_HEADERS`] of them a
/// message's properties stay under the 48 KiB of a publisher's frame, which they must fit into.
pub const MAX_KEPT_HEADER_BYTES: usize = 1024;

/// The topic of a body that holds several webhooks, until it is split. No element may have it.
pub const BATCH_TOPIC: &str = "batch";

/// Most headers a provider file may ask to keep.
pub const MAX_KEPT_HEADERS: usize = 16;

/// One of several webhooks in one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'b> {
    /// As it stands in the body.
    pub bytes: &'b [u8],
    /// Its own, if it has a usable one.
    pub identity: Result<Identity, IdentityError>,
}

/// A provider whose file was read and found free of contradictions.
#[derive(Debug, Clone)]
pub struct Provider {
    name: Name,
    file: ProviderFile,
    samples: String,
}

impl Provider {
    /// Reads and checks a provider file. `name` is the file's stem, `path` is what error messages call it.
    ///
    /// # Errors
    /// [`ProviderError::Syntax`] with line and column if the text is not such a file, and
    /// [`ProviderError::Invalid`] with every mistake at once if its values contradict each other.
    pub fn parse(name: &str, path: &str, text: &str) -> Result<Self, ProviderError> {
        let file: ProviderFile = toml::from_str(text)
            .map_err(|source| ProviderError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        let mistakes = check::mistakes(name, &file);
        match Name::try_from(name) {
            Ok(name) if mistakes.is_empty() => Ok(Self { name, file, samples: String::new() }),
            Ok(_) | Err(_) => Err(ProviderError::Invalid { path: path.to_owned(), mistakes }),
        }
    }

    /// With sample webhooks: the text of its file in `fixtures/`.
    #[must_use]
    pub fn with_samples(self, text: impl Into<String>) -> Self {
        Self { samples: text.into(), ..self }
    }

    /// Its sample webhooks, at least one for a built-in provider.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        sample::read(&self.samples)
    }

    /// The name a source refers to it by: its file's stem.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What people call it.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.file.title
    }

    /// The provider's own page about verification.
    #[must_use]
    pub fn documentation(&self) -> &str {
        &self.file.documentation
    }

    /// Where the rules of its file were read.
    #[must_use]
    pub fn rule_from(&self) -> &[String] {
        &self.file.rule_from
    }

    /// How long after the event the same webhook may come again. Retention must be longer.
    #[must_use]
    pub fn retry_horizon(&self) -> Duration {
        Duration::from_secs(u64::from(self.file.retry_horizon_hours) * 3600)
    }

    /// How many answers in a row other than 2xx it takes before it ends the subscription; `None` if it does not.
    #[must_use]
    pub fn failures_tolerated(&self) -> Option<u32> {
        self.file.failures_tolerated
    }

    /// Whether the signature covers the id. If not, a captured body passes again under a fresh id.
    #[must_use]
    pub fn id_signed(&self) -> bool {
        self.file.id.signed
    }

    /// Where the id is, in the order of looking.
    #[must_use]
    pub fn id_places(&self) -> &[Place] {
        &self.file.id.from
    }

    /// Where the topic is, in the order of looking.
    #[must_use]
    pub fn topic_places(&self) -> &[Place] {
        &self.file.topic.from
    }

    /// How the provider signs.
    #[must_use]
    pub fn signature(&self) -> &SignatureRule {
        &self.file.signature
    }

    /// Everything that its file says.
    #[must_use]
    pub fn file(&self) -> &ProviderFile {
        &self.file
    }

    /// The webhook's id and topic. A body that holds several webhooks goes by its hash, under [`BATCH_TOPIC`].
    ///
    /// Both are printable ASCII of 1 to 255 bytes without a space at either end, and
    /// `<provider>.<topic>` is at most 255 bytes too, so that each fits an AMQP short string.
    ///
    /// # Errors
    /// [`IdentityError`] if one is missing, given twice, or not of that form.
    pub fn identify(&self, headers: &Headers<'_>, body: &[u8]) -> Result<Identity, IdentityError> {
        if self.file.batch.is_some() {
            return Ok(Identity { id: identity::body_hash(body), topic: BATCH_TOPIC.to_owned() });
        }
        self.name_it(headers, body)
    }

    /// The elements of a body that holds several webhooks, each with its bytes and its own id and topic; `None` if the
    /// provider sends one webhook a body.
    ///
    /// # Errors
    /// [`SplitError`] if the body can't be split, which no genuine one is. An element without a usable id or topic has an
    /// [`IdentityError`] in its place.
    pub fn elements<'b>(&self, body: &'b [u8]) -> Option<Result<Vec<Element<'b>>, SplitError>> {
        let batch = self.file.batch.as_ref()?;
        let mut found = Vec::new();
        let mut led_somewhere = false;
        for path in &batch.elements {
            match path.find(body, &mut found) {
                Ok(()) => led_somewhere = true,
                Err(SplitError::NoElements) => {}
                Err(SplitError::TooMany) => return Some(Err(SplitError::TooMany)),
            }
        }
        if !led_somewhere {
            return Some(Err(SplitError::NoElements));
        }
        let no_headers = Headers::default();
        let element = |bytes| Element {
            bytes,
            identity: self.name_it(&no_headers, bytes).and_then(|identity| {
                if identity.topic == BATCH_TOPIC { Err(IdentityError::Reserved(Field::Topic)) } else { Ok(identity) }
            }),
        };
        Some(Ok(found.into_iter().map(element).collect()))
    }

    fn name_it(&self, headers: &Headers<'_>, body: &[u8]) -> Result<Identity, IdentityError> {
        let id = identity::find(Field::Id, self.id_places(), headers, body)?;
        let topic = identity::find(Field::Topic, self.topic_places(), headers, body)?;
        identity::fits(Field::Topic, self.name.as_str().len() + 1 + topic.len())?;
        Ok(Identity { id, topic })
    }

    /// The headers worth keeping on the message, names in lower case.
    ///
    /// A header that came twice, is not printable ASCII or is longer than [`MAX_KEPT_HEADER_BYTES`] is left
    /// out: these are for people and for mappings, and no reason to refuse a genuine webhook.
    #[must_use]
    pub fn kept_headers(&self, headers: &Headers<'_>) -> Vec<(String, String)> {
        self.file
            .keep_headers
            .iter()
            .filter_map(|name| match headers.one(name.as_str()) {
                Ok(Some(value)) if value.len() <= MAX_KEPT_HEADER_BYTES => {
                    Some((name.as_str().to_ascii_lowercase(), value.to_owned()))
                }
                Ok(_) | Err(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
