//! Why a request passes or not, told step by step to whoever runs the installation: what was expected, what was found.
//!
//! Never a secret, and never a signature that would be valid. The reason at the end is the one that ingest logs and counts.
//! Which of body and secret is wrong can't be told from a signature alone; so the changes that programs on the way are known
//! to make to a body are undone one by one, and if one of them helps it is named.

use super::signed::Scheme as Signed;
use super::{Incoming, Refusal, Scheme, Verified, Verifier, candidates, timestamp};
use crate::provider::{Encoding, Part, SignedRule, ValuePart};

/// What was looked at, step by step, and the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// In the order of looking.
    pub steps: Vec<Step>,
    /// The verdict, as [`Verifier::verify`] gives it.
    pub verdict: Result<Verified, Refusal>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub what: &'static str,
    /// What the provider's rules want.
    pub expected: String,
    /// What the request has.
    pub found: String,
    /// Whether that will do.
    pub fine: bool,
}

impl Step {
    fn of(what: &'static str, expected: String, found: Result<String, String>) -> Self {
        let fine = found.is_ok();
        let (Ok(found) | Err(found)) = found;
        Self { what, expected, found, fine }
    }
}

impl Verifier {
    /// Verifies a request and tells how it went.
    #[must_use]
    pub fn explain(&self, request: Incoming<'_>) -> Explanation {
        let verdict = self.verify(request);
        let steps = match &self.scheme {
            Scheme::Signed(scheme) => signed(self, scheme, request, &verdict),
            Scheme::Token(_) => vec![Step::of("token", "the secret itself".to_owned(), said_of_token(&verdict))],
            Scheme::Unchecked => vec![Step::of("signature", "none".to_owned(), Ok("nobody looks".to_owned()))],
        };
        Explanation { steps, verdict }
    }
}

fn said(verdict: &Result<Verified, Refusal>) -> Result<String, String> {
    match verdict {
        Ok(Verified::BySecret { index }) => Ok(format!("secret {} matches", index + 1)),
        Ok(Verified::ByCertificate) => Ok("the certificate's key matches".to_owned()),
        Ok(Verified::Unchecked) => Ok("nobody looks".to_owned()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// The same where the request just shows the secret.
fn said_of_token(verdict: &Result<Verified, Refusal>) -> Result<String, String> {
    match verdict {
        Err(Refusal::SignatureMissing) => Err("there is none".to_owned()),
        Err(Refusal::SignatureEmpty) => Err("it is empty".to_owned()),
        Err(Refusal::NoSecretMatched) => Err("it is another".to_owned()),
        verdict => said(verdict),
    }
}

fn signed(
    verifier: &Verifier,
    scheme: &Signed,
    request: Incoming<'_>,
    verdict: &Result<Verified, Refusal>,
) -> Vec<Step> {
    let rule = &scheme.rule;
    let mut steps = vec![signature(scheme, request)];
    if let Some(rule) = &rule.timestamp {
        let expected = format!("at most {} s from the time of receipt", rule.tolerance_seconds);
        let found = timestamp::age(rule, request).map(|seconds| match seconds {
            0.. => format!("sent {seconds} s before"),
            _ => format!("sent {} s after", seconds.saturating_neg()),
        });
        let fits = timestamp::check(rule, request.headers, request.body, request.received_at);
        let found = found.map_err(|refusal| refusal.to_string());
        let found = found.and_then(|found| fits.map(|_text| found).map_err(|refusal| refusal.to_string()));
        steps.push(Step::of("time", expected, found));
    }
    if rule.template.has(&Part::Id) {
        let id = scheme.id(request.headers).map(str::to_owned).map_err(|refusal| refusal.to_string());
        steps.push(Step::of("id", "a header, since it is signed".to_owned(), id));
    }
    if rule.template.has(&Part::Url) {
        let found = scheme.urls(request).join(" or ");
        steps.push(Step::of("url", "public_url, as the provider was given it, with the query".to_owned(), Ok(found)));
    }
    let bytes = format!("{} bytes, SHA-256 {}", request.body.len(), hex::encode(crate::hash::sha256(request.body)));
    steps.push(match verdict {
        Err(Refusal::NoSecretMatched) => altered(verifier, rule, request, bytes),
        _ => Step::of("body", "the raw bytes".to_owned(), Ok(bytes)),
    });
    let expected = match scheme.keys() {
        0 => "the key of the provider's certificate".to_owned(),
        1 => "the secret".to_owned(),
        many => format!("one of {many} secrets"),
    };
    // What went wrong before is told above; here, whether a secret matched.
    match verdict {
        Ok(_) | Err(Refusal::NoSecretMatched | Refusal::SecretExpired { .. }) => {
            steps.push(Step::of("secret", expected, said(verdict)));
        }
        Err(refusal @ Refusal::CertificateUnknown { .. }) => {
            let found =
                format!("{refusal}; nothing is fetched here, a source with the certificate as its secret needs none");
            steps.push(Step::of("secret", expected, Err(found)));
        }
        Err(refusal) if steps.iter().all(|step| step.fine) => {
            steps.push(Step::of("secret", expected, Err(refusal.to_string())));
        }
        Err(_) => steps.push(Step::of("secret", expected, Err("not looked at, because of the above".to_owned()))),
    }
    steps
}

fn signature(scheme: &Signed, request: Incoming<'_>) -> Step {
    let rule = &scheme.rule;
    let place = |part: &ValuePart| {
        let name = part.header().map_or_else(
            || format!("{:?} in the body", part.body().map_or("", |path| path.as_str())),
            |header| header.as_str().to_owned(),
        );
        if part.prefix.is_empty() { name } else { format!("{name} with {:?} before it", part.prefix) }
    };
    let places: Vec<String> = rule.from.iter().map(place).collect();
    let written = match rule.encoding {
        Encoding::Hex => "lower-case hex",
        Encoding::Base64 => "base64",
    };
    let expected = format!("{} in {}", written, places.join(" or "));
    let found = match candidates::candidates(scheme.algorithm, rule, request.headers, request.body) {
        _ if rule.each.is_some() => Ok("each element is looked at by itself".to_owned()),
        Ok(candidates) if candidates.len() == 1 => Ok("one signature".to_owned()),
        Ok(candidates) => Ok(format!("{} signatures", candidates.len())),
        Err(Refusal::SignatureEncoding) => {
            Err(format!("{}{}", Refusal::SignatureEncoding, other_encoding(scheme, request)))
        }
        Err(refusal) => Err(refusal.to_string()),
    };
    Step::of("signature", expected, found)
}

/// Whether it would be readable if it were written the other way.
fn other_encoding(scheme: &Signed, request: Incoming<'_>) -> &'static str {
    let (encoding, hint) = match scheme.rule.encoding {
        Encoding::Hex => (Encoding::Base64, "; it looks like base64"),
        Encoding::Base64 => (Encoding::Hex, "; it looks like hex"),
    };
    let rule = SignedRule { encoding, ..scheme.rule.clone() };
    match candidates::candidates(scheme.algorithm, &rule, request.headers, request.body) {
        Ok(_) => hint,
        Err(_) => "",
    }
}

/// Looks for the change that would explain a signature that doesn't match.
fn altered(verifier: &Verifier, rule: &SignedRule, request: Incoming<'_>, bytes: String) -> Step {
    let helps = |body: &[u8]| verifier.verify(Incoming { body, ..request }).is_ok();
    let change = variants(request.body).into_iter().find(|(_, body)| helps(body));
    let why = match change {
        Some((change, _)) => format!("altered on the way: {change}"),
        None => {
            let url = if rule.template.has(&Part::Url) { ", or over another URL" } else { "" };
            let parameter =
                if rule.template.parameters().next().is_some() { ", or with another parameter" } else { "" };
            format!("altered, or signed with another secret{url}{parameter}")
        }
    };
    Step::of("body", "the bytes that were signed".to_owned(), Err(format!("{bytes}; {why}")))
}

/// A body before some program on the way changed it, for the changes that programs make.
fn variants(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(body);
    let mut variants = vec![
        ("white space at its end was added", body.trim_ascii_end().to_vec()),
        ("the line break at its end was removed", [body, b"\n"].concat()),
        ("the line break at its end was removed", [body, b"\r\n"].concat()),
        ("its line breaks were changed from CRLF to LF", text.replace('\n', "\r\n").into_bytes()),
        ("its line breaks were changed from LF to CRLF", text.replace("\r\n", "\n").into_bytes()),
        ("a byte order mark was added", body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).to_vec()),
        ("its slashes were unescaped", text.replace('/', "\\/").into_bytes()),
    ];
    if let Ok(value) = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text) {
        variants.push(("its JSON was written with spaces", without_spaces(value.get())));
    }
    variants
}

/// JSON without the white space between its parts.
fn without_spaces(json: &str) -> Vec<u8> {
    let (mut inside, mut escaped) = (false, false);
    let mut compact = Vec::with_capacity(json.len());
    for byte in json.bytes() {
        match byte {
            b'"' if !escaped => inside = !inside,
            b' ' | b'\t' | b'\r' | b'\n' if !inside => continue,
            _ => {}
        }
        escaped = inside && byte == b'\\' && !escaped;
        compact.push(byte);
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, Headers, Outgoing, Signer};
    use super::*;
    use crate::provider::Catalogue;
    use secrecy::SecretString;
    use time::OffsetDateTime;

    const SECRET: &str = "s3cr3t-of-the-source";

    fn explain(provider: &str, change: impl Fn(&mut Vec<(String, String)>, &mut Vec<u8>), late_s: i64) -> Explanation {
        let catalogue = Catalogue::built_in().unwrap();
        let provider = catalogue.get(provider).unwrap();
        let secrets = vec![SecretString::from("another"), SecretString::from(SECRET)];
        let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let outgoing = Outgoing { id: "1", topic: "t", body: br#"{"id":"evt_1","type":"t"}"#, at };
        let signed = Signer::new(provider, secrets[1].clone()).unwrap().sign(outgoing).unwrap();
        let (mut headers, mut body) = (signed.headers, signed.body);
        change(&mut headers, &mut body);
        let headers: Headers<'_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let received_at = at + time::Duration::seconds(late_s);
        let verifier = Verifier::new(provider, secrets).unwrap();
        verifier.explain(Incoming { headers: &headers, query: None, body: &body, received_at })
    }

    fn text(explanation: &Explanation) -> String {
        let lines = explanation.steps.iter().map(|step| format!("{} {}: {}\n", step.fine, step.what, step.found));
        let text: String = lines.collect();
        assert!(!text.contains(SECRET));
        text
    }

    #[test]
    fn each_mistake_is_told_where_it_is() {
        let genuine = explain("stripe", |_, _| {}, 3);
        assert_eq!(genuine.verdict, Ok(Verified::BySecret { index: 1 }));
        let said = text(&genuine);
        assert!(
            said.contains("true time: sent 3 s before") && said.contains("true secret: secret 2 matches"),
            "{said}"
        );
        let late = text(&explain("stripe", |_, _| {}, 400));
        assert!(late.contains("false time: the timestamp is 400 s before") && late.contains("not looked at"), "{late}");
        let missing =
            text(&explain("github", |headers, _| headers.retain(|(name, _)| name.starts_with("X-GitHub")), 0));
        assert!(missing.contains("false signature: no header carries a signature"), "{missing}");
        let other = explain("github", |_, body| body[7] = b'f', 0);
        assert_eq!(other.verdict, Err(Refusal::NoSecretMatched));
        assert!(text(&other).contains("altered, or signed with another secret\n"));
    }

    #[test]
    fn what_else_is_signed_is_told_where_nothing_else_helps() {
        let catalogue = Catalogue::built_in().unwrap();
        let provider = catalogue.get("square").unwrap();
        let credentials = |url: &str| {
            let public_url = Some(url.to_owned());
            Credentials { public_url, ..SecretString::from(SECRET).into() }
        };
        let (ours, theirs) = (credentials("https://a.example/ours"), credentials("https://a.example/theirs"));
        let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let outgoing = Outgoing { id: "1", topic: "t", body: b"{}", at };
        let signed = Signer::new(provider, theirs).unwrap().sign(outgoing).unwrap();
        let headers: Headers<'_> =
            signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = Incoming { headers: &headers, query: None, body: b"{}", received_at: at };
        let said = text(&Verifier::new(provider, ours).unwrap().explain(request));
        assert!(said.contains("true url: https://a.example/ours"), "{said}");
        assert!(said.contains("false body: ") && said.contains("another secret, or over another URL"), "{said}");
    }

    #[test]
    fn of_a_token_it_is_said_that_it_is_another_or_none() {
        let token =
            |change: fn(&mut Vec<(String, String)>)| text(&explain("gitlab-token", |headers, _| change(headers), 0));
        assert!(token(|_| {}).contains("true token: secret 2 matches"));
        assert!(
            token(|headers| headers.retain(|(name, _)| name != "X-Gitlab-Token"))
                .contains("false token: there is none")
        );
        let another = token(|headers| headers.iter_mut().for_each(|(_, value)| value.push('x')));
        assert!(another.contains("false token: it is another"), "{another}");
    }

    #[test]
    fn what_a_program_on_the_way_did_to_the_body_is_named() {
        let spaced = text(&explain("github", |_, body| *body = br#"{ "id": "evt_1", "type": "t" }"#.to_vec(), 0));
        assert!(spaced.contains("altered on the way: its JSON was written with spaces"), "{spaced}");
        let longer = text(&explain("github", |_, body| body.push(b'\n'), 0));
        assert!(longer.contains("white space at its end was added"), "{longer}");
    }

    #[test]
    fn the_wrong_encoding_is_recognised() {
        let base64 = |headers: &mut Vec<(String, String)>, _: &mut Vec<u8>| {
            let value = headers.iter_mut().find(|(name, _)| name == "X-Hub-Signature-256").unwrap();
            value.1 = format!("sha256={}", "A".repeat(43) + "=");
        };
        assert!(text(&explain("github", base64, 0)).contains("it looks like base64"));
    }
}
