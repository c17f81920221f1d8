//! `oncehook send`, as every provider, to a running ingest: accepted, and refused with a secret that is another's.

use std::path::Path;

use serde_json::Value;
use shared::provider::{Catalogue, Provider, Sample};
use testing::provider_keys::{Keys, keys, source};

use crate::receiver::{Receiver, run, written};

/// Who sends: a provider, or somebody with keys of their own.
struct Sender<'p> {
    provider: &'p Provider,
    keys: Keys,
}

fn senders<'p>(catalogue: &'p Catalogue, seed: &str) -> Vec<Sender<'p>> {
    catalogue.iter().map(|provider| Sender { provider, keys: keys(provider, seed) }).collect()
}

/// A configuration with a source for each of them.
fn configuration(folder: &Path, whose: &str, senders: &[Sender<'_>]) -> String {
    let one = |sender: &Sender<'_>| {
        let file = format!("{whose}-{}", sender.provider.name());
        source(sender.provider, &written(folder, &file, &sender.keys.verifying))
    };
    senders.iter().map(one).collect()
}

impl Sender<'_> {
    /// Sends one of the provider's samples; the first one is what is sent without being asked for. Returns the status that
    /// ingest answered, and whether the command called that fine.
    async fn send(&self, receiver: &Receiver, config: &Path, number: usize, sample: &Sample) -> (u64, bool) {
        let name = self.provider.name().as_str();
        let mut arguments = vec!["--output".to_owned(), "json".to_owned(), "send".to_owned(), name.to_owned()];
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if number > 0 {
            let body = written(&receiver.folder, &format!("{name}-{number}"), &sample.body);
            option("--topic", sample.topic.clone());
            option("--body", body.display().to_string());
        }
        if self.keys.are_a_pair() {
            let key = written(&receiver.folder, &format!("{name}-key"), &self.keys.signing);
            option("--private-key", key.display().to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = receiver.oncehook_with(config, &arguments).await;
        let answers: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}: {output:?}"));
        (answers[0]["status"].as_u64().unwrap(), output.status.success())
    }
}

#[tokio::test]
async fn every_provider_can_be_imitated_with_its_secret_and_with_no_other() {
    let catalogue = Catalogue::built_in().unwrap();
    let (ours, others) = (senders(&catalogue, "ours"), senders(&catalogue, "another's"));
    run(
        |folder| configuration(folder, "ours", &ours),
        async |receiver| {
            let right = receiver.folder.join("oncehook.toml");
            let wrong = configuration(&receiver.folder, "others", &others);
            let wrong = written(&receiver.folder, "others.toml", &wrong);
            for (ours, other) in ours.iter().zip(&others) {
                let (name, samples) = (ours.provider.name(), ours.provider.samples());
                for (number, sample) in samples.iter().enumerate() {
                    let answered = ours.send(receiver, &right, number, sample).await;
                    assert_eq!(answered, (200, true), "{name}: {sample:?}");
                }
                let first = samples.first().unwrap_or_else(|| panic!("{name} has no sample"));
                assert_eq!(other.send(receiver, &wrong, 0, first).await, (401, false), "{name}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn one_webhook_is_sent_as_often_as_wanted_under_one_id() {
    let catalogue = Catalogue::built_in().unwrap();
    let provider = catalogue.get("stripe").unwrap();
    let stripe = [Sender { provider, keys: keys(provider, "ours") }];
    run(
        |folder| configuration(folder, "ours", &stripe),
        async |receiver| {
            let arguments =
                ["--output", "json", "send", "stripe", "--topic", "charge.refunded", "--id", "evt_7", "--repeat", "3"];
            let output = receiver.oncehook(&arguments).await;
            let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
            let answers = answers.as_array().unwrap();
            assert_eq!(answers.len(), 3, "{output:?}");
            assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
            // Stripe's id is in the body: ingest found the one that was asked for.
            assert_eq!(answers[0]["answer"], r#"{"status":"accepted","id":"evt_7"}"#);
            assert_eq!((&answers[0]["status"], &answers[0]["topic"]), (&200.into(), &"charge.refunded".into()));
        },
    )
    .await;
}
