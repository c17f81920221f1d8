//! `docs/providers.md`: the list of providers, made from their files. The test holds it current.

use std::fmt::{self, Write};

use super::assert_current;
use crate::provider::{Algorithm, Catalogue, Hash, Place, Provider, SignatureRule, Sure};

const HEAD: &str = "\
# Providers

Made from the files in [providers/](../providers); `UPDATE_GENERATED=1 cargo test -p webhook` writes it anew. How to add one of
your own, without recompiling: [add-a-provider.md](add-a-provider.md). A source names its provider by the name in the first
column (`provider = \"stripe\"`).

*Id* is where the webhook's id is found, in the order of looking; where it is **not signed**, a captured body passes again
under a fresh one, and `replay_defence` is `flag`, unless a route takes the source (its effects have business keys) or the
source says otherwise. *Time* is how far off a signed time may be.
*Again* is how long the same webhook may come again; ids are kept at least as long. *Read in* tells how sure the rules are:
in the provider's own library, in its documents, or elsewhere.

| provider | signature | id | time | again | answer within | read in |
| --- | --- | --- | --- | --- | --- | --- |
";

/// The list, as it is published.
fn list(catalogue: &Catalogue) -> Result<String, fmt::Error> {
    let mut text = HEAD.to_owned();
    for provider in catalogue.iter() {
        writeln!(text, "| {} |", row(provider).join(" | "))?;
    }
    text.push_str("\n## What each file rests on\n");
    for provider in catalogue.iter() {
        let file = provider.file();
        writeln!(text, "\n### {} (`{}`)\n\n<{}>\n", provider.title(), provider.name(), provider.documentation())?;
        for rule in provider.rule_from() {
            writeln!(text, "- {rule}")?;
        }
        for unsure in &file.unsure_about {
            writeln!(text, "- *Not certain:* {unsure}")?;
        }
    }
    Ok(text)
}

fn row(provider: &Provider) -> [String; 7] {
    let file = provider.file();
    let timestamp = provider.signature().signed().and_then(|(_, rule)| rule.timestamp.as_ref());
    let places: Vec<String> = provider.id_places().iter().map(place).collect();
    let unsigned = if provider.id_signed() { "" } else { "; **not signed**" };
    let each = if file.batch.is_some() { "each of a batch: " } else { "" };
    [
        format!("[{}](../providers/{}.toml)", provider.name(), provider.name()),
        scheme(provider),
        format!("{each}{}{unsigned}", places.join(", else ")),
        timestamp.map_or_else(|| "not checked".to_owned(), |rule| format!("±{} s", rule.tolerance_seconds)),
        hours(file.retry_horizon_hours),
        format!("{} s", file.answer_deadline_ms / 1000),
        match file.sure {
            Sure::Library => "library",
            Sure::Documents => "documents",
            Sure::ThirdParty => "third party",
        }
        .to_owned(),
    ]
}

fn scheme(provider: &Provider) -> String {
    let Some((algorithm, _)) = provider.signature().signed() else {
        return match provider.signature() {
            SignatureRule::Basic(_) => "none: user and password",
            _ => "none: a token",
        }
        .to_owned();
    };
    match algorithm {
        Algorithm::Hmac(Hash::Sha1) => "HMAC-SHA1",
        Algorithm::Hmac(Hash::Sha256) => "HMAC-SHA256",
        Algorithm::Hmac(Hash::Sha512) => "HMAC-SHA512",
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256 => "ECDSA P-256",
        Algorithm::Rsa => "RSA-SHA256, by the provider's certificate",
    }
    .to_owned()
}

fn place(place: &Place) -> String {
    match place {
        Place::Header(name) => format!("`{}`", name.as_str()),
        Place::HeaderAndBodyHash(name) => format!("`{}` and the body's hash", name.as_str()),
        Place::Body(path) => format!("body `{}`", path.as_str()),
        Place::BodyJoin(paths) => {
            let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
            format!("body `{}`", paths.join("`+`"))
        }
        Place::Form(names) => format!("form `{}`", names.join("`+`")),
        Place::BodyHash(_) => "the body's hash".to_owned(),
        Place::Fixed(text) => format!("`{text}`"),
    }
}

fn hours(hours: u32) -> String {
    if hours.is_multiple_of(24) && hours > 48 { format!("{} d", hours / 24) } else { format!("{hours} h") }
}

#[test]
fn the_published_list_is_current() {
    assert_current("docs/providers.md", &list(&Catalogue::built_in().unwrap()).unwrap());
}
