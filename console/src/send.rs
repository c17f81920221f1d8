//! `oncehook send`: a sample webhook, signed as its provider signs, posted to ingest. Testing without a tunnel or an account.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use serde::Serialize;
use shared::config::{Config, SourceConfig};
use shared::error_chain::error_chain;
use shared::name::Name;
use shared::provider::{Algorithm, Provider, Sample};
use shared::traces::{Span, names};
use shared::verification::{Credentials, Outgoing, SignedWebhook, Signer};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::output::{Shown, table};
use crate::settings::Settings;
use crate::steering::Progress;

const JSON: &str = "application/json";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The provider to send as.
    provider: String,
    /// The source to send to; the first of this provider's if it is not given.
    #[arg(long)]
    source: Option<String>,
    /// The webhook's topic; that of the provider's sample if it is not given.
    #[arg(long)]
    topic: Option<String>,
    /// A file with the body; the provider's sample if it is not given.
    #[arg(long)]
    body: Option<PathBuf>,
    /// The webhook's id; a new one if it is not given.
    #[arg(long)]
    id: Option<String>,
    /// How often to send it, each time with the same id.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Where ingest is.
    #[arg(long, env = "INGEST_URL", default_value = "http://127.0.0.1:8080")]
    to: String,
    /// A file with a private key of your own (PKCS #8, base64), for providers that sign with one; the source must have
    /// its public key as a secret.
    #[arg(long)]
    private_key: Option<PathBuf>,
    /// Show the request instead of sending it. Its signature is valid: keep it to yourself.
    #[arg(long)]
    print: bool,
}

/// What was sent, and what was answered.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Sent {
    Answers(Vec<Answer>),
    Request(Request),
}

#[derive(Serialize)]
pub(crate) struct Answer {
    id: String,
    topic: String,
    status: u16,
    answer: String,
}

/// A request that was not sent.
#[derive(Serialize)]
pub(crate) struct Request {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sent {
    /// Whether every one was accepted.
    pub(crate) fn is_fine(&self) -> bool {
        match self {
            Self::Answers(answers) => answers.iter().all(|answer| (200..300).contains(&answer.status)),
            Self::Request(_) => true,
        }
    }
}

pub(crate) async fn send(settings: &Settings, args: &SendArgs) -> anyhow::Result<Sent> {
    let config = Config::load(&settings.config)?;
    let catalogue = config.catalogue()?;
    let provider = catalogue.get(&args.provider);
    let provider =
        provider.with_context(|| format!("there is no provider {}; see oncehook providers", args.provider))?;
    let (name, source) = source(&config, args)?;
    let credentials = credentials(provider, source, args)?;
    let sample = sample(provider, args)?;
    let id =
        args.id.clone().or(sample.id.filter(|_| args.body.is_some())).unwrap_or_else(|| Uuid::new_v4().to_string());
    let topic = args.topic.clone().unwrap_or(sample.topic);
    let url = format!("{}/webhooks/{name}", args.to.trim_end_matches('/'));
    let signer = Signer::new(provider, credentials).context("cannot sign")?;
    let content_type = sample.content_type.unwrap_or_else(|| JSON.to_owned());
    let sign = || -> anyhow::Result<SignedWebhook> {
        let outgoing = Outgoing { id: &id, topic: &topic, body: sample.body.as_bytes(), at: OffsetDateTime::now_utc() };
        let body = signer.named(outgoing);
        let mut signed = signer.sign(Outgoing { body: &body, ..outgoing })?;
        // A form's provider signs the hash of what is JSON, in the query.
        let content_type = if signed.query.is_some() { JSON } else { &content_type };
        signed.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        Ok(signed)
    };
    if args.print {
        let SignedWebhook { headers, body, query } = sign()?;
        let url = with_query(&url, query.as_deref());
        let body = String::from_utf8(body).context("the body is not text, which --print wants")?;
        return Ok(Sent::Request(Request { url, headers, body }));
    }
    let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
    let progress = Progress::of(args.repeat.into());
    let mut answers = Vec::new();
    for _ in 0..args.repeat {
        answers.push(post(&client, &url, sign()?, (&id, &topic)).await?);
        progress.advance(1);
    }
    Ok(Sent::Answers(answers))
}

async fn post(
    client: &reqwest::Client,
    url: &str,
    webhook: SignedWebhook,
    (id, topic): (&str, &str),
) -> anyhow::Result<Answer> {
    let mut request = client.post(with_query(url, webhook.query.as_deref())).body(webhook.body);
    for (name, value) in webhook.headers {
        request = request.header(name, value);
    }
    let span = Span::client(|| "POST".to_owned(), None);
    if let Some(span) = &span {
        request = request.header("traceparent", span.traceparent());
        span.set(names::HTTP_REQUEST_METHOD, "POST");
    }
    let answer = request.send().await.with_context(|| format!("cannot send to {url}"))?;
    let status = answer.status().as_u16();
    if let Some(span) = &span {
        span.set(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status));
    }
    let answer = answer.text().await.context("the answer broke off")?;
    Ok(Answer { id: id.to_owned(), topic: topic.to_owned(), status, answer })
}

fn with_query(url: &str, query: Option<&str>) -> String {
    query.map_or_else(|| url.to_owned(), |query| format!("{url}?{query}"))
}

fn source<'c>(config: &'c Config, args: &SendArgs) -> anyhow::Result<(&'c Name, &'c SourceConfig)> {
    match &args.source {
        Some(name) => config.sources.get_key_value(name.as_str()).with_context(|| format!("there is no source {name}")),
        None => {
            config.sources.iter().find(|(_, source)| source.provider.as_str() == args.provider).with_context(|| {
                format!("no source has the provider {}; add one, or name one with --source", args.provider)
            })
        }
    }
}

/// The secrets that are still in use; for a provider with a private key that one.
fn credentials(provider: &Provider, source: &SourceConfig, args: &SendArgs) -> anyhow::Result<Credentials> {
    let is_public =
        provider.signature().signed().is_some_and(|(algorithm, _)| !matches!(algorithm, Algorithm::Hmac(_)));
    if is_public {
        let path = args.private_key.as_ref().with_context(|| {
            format!(
                "{} signs with a private key that only it has; give one of your own with --private-key",
                provider.title()
            )
        })?;
        let key = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let secrets = vec![SecretString::from(key.split_whitespace().collect::<String>()).into()];
        let (public_url, parameters) = (source.public_url.clone(), source.parameters.clone());
        return Ok(Credentials { secrets, public_url, parameters });
    }
    let mut credentials = source.credentials().map_err(|errors| {
        anyhow::anyhow!(errors.iter().map(|error| error_chain(error)).collect::<Vec<_>>().join("; "))
    })?;
    let now = OffsetDateTime::now_utc();
    credentials.secrets.retain(|secret| secret.not_after.is_none_or(|not_after| now <= not_after));
    Ok(credentials)
}

/// The body to send: the file, or the provider's sample of the wanted topic, or its first one.
fn sample(provider: &Provider, args: &SendArgs) -> anyhow::Result<Sample> {
    let mut samples = provider.samples();
    let wanted = samples.iter().position(|sample| Some(&sample.topic) == args.topic.as_ref()).unwrap_or(0);
    let sample = (!samples.is_empty()).then(|| samples.swap_remove(wanted));
    let Some(path) = &args.body else {
        return sample.with_context(|| format!("{} has no sample; give a body with --body", provider.title()));
    };
    let body = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = provider.identify(&shared::verification::Headers::default(), body.as_bytes());
    let (id, topic) = found.map_or((None, None), |found| (Some(found.id), Some(found.topic)));
    let topic = topic.or_else(|| sample.as_ref().map(|sample| sample.topic.clone())).unwrap_or_default();
    Ok(Sample { id, topic, body, content_type: sample.and_then(|sample| sample.content_type) })
}

impl Shown for Sent {
    fn text(&self) -> String {
        match self {
            Self::Answers(answers) => {
                let row = |answer: &Answer| {
                    [answer.id.clone(), answer.topic.clone(), answer.status.to_string(), answer.answer.clone()]
                };
                table(["ID", "TOPIC", "STATUS", "ANSWER"], answers.iter().map(row))
            }
            Self::Request(request) => {
                let headers: String =
                    request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
                format!("POST {}\n{headers}\n{}\n", request.url, request.body)
            }
        }
    }
}
