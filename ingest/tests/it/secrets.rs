//! Secrets: told nowhere, and changed without a gap.

use std::fs;

use crate::harness::{Broker, Connection, Program, SECRETS, Webhook, configuration, until};
use shared::provider::Catalogue;
use shared::verification::{Outgoing, Signer};
use testing::marker::Marker;
use testing::rabbitmq::User;
use time::OffsetDateTime;

/// What senders send that is nobody else's business: what they authenticate with elsewhere, and the body.
const OTHERS: [&str; 2] = ["hush-authorization-of-a-sender", "hush-in-the-body-of-a-webhook"];

/// Everything that the process shows to anybody: its log at the finest level, its metrics and health, its arguments.
async fn shown(program: &Program) -> Vec<(&'static str, String)> {
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", program.child.id().unwrap())).unwrap();
    vec![
        ("the metrics", program.ops("/metrics").await.body),
        ("the health", program.ops("/readyz").await.body),
        ("the command line", arguments),
        ("the log", program.log()),
    ]
}

/// Good requests and bad ones, to every source; returns all answers.
async fn all_sorts_of_requests(program: &Program) -> String {
    let mut answers = String::new();
    for (source, _) in SECRETS {
        let good = Webhook::new(source, "good", "t", format!("{{\"x\":\"{}\"}}", OTHERS[1]).as_bytes())
            .with("authorization", &format!("Bearer {}", OTHERS[0]))
            .with("cookie", OTHERS[0]);
        let mut forged = good.clone();
        forged.body.push(b' ');
        let too_large = [good.head().into_bytes(), b"content-length: 999999999\r\n\r\n".to_vec()].concat();
        let nameless = Webhook { headers: Vec::new(), ..good.clone() };
        let malformed = good.clone().with("content-length", "x");
        let compressed = good.clone().with("content-encoding", "gzip");
        for request in [good, forged, nameless, malformed, compressed].map(|webhook| webhook.request()) {
            answers.push_str(&answer(program, &request).await);
        }
        answers.push_str(&answer(program, &too_large).await);
    }
    answers
}

async fn answer(program: &Program, request: &[u8]) -> String {
    let mut connection = Connection::open(program.port).await;
    connection.write(request).await;
    format!("{:?}", connection.answer().await.unwrap())
}

#[tokio::test]
async fn no_secret_is_told_to_anybody() {
    let broker = Broker::connect().await;
    let password = Marker::new("amqp");
    let user = User::with_password(&password.secret).await;
    let wrong = Marker::new("wrongamqp");
    let addresses = format!("amqp://nobody:{}@127.0.0.1:1/%2f,{}", wrong.secret, user.amqp_url());
    let program = Program::start(&broker, |program| {
        program.env("AMQP_URL", addresses).env("RUST_LOG", "trace");
    });
    program.ready().await;
    let answers = all_sorts_of_requests(&program).await;
    let messages = {
        let mut messages = String::new();
        for _ in SECRETS {
            messages.push_str(&broker.take_properties().await);
        }
        messages
    };
    // Its connection ends, and no other one is let in: what follows is spooled.
    user.remove().await;
    until("the broker is lost", async || program.ops("/readyz").await.body.contains("degraded").then_some(())).await;
    let more_answers = all_sorts_of_requests(&program).await;
    until("the broker has refused", async || program.log().contains("no connection to the broker").then_some(())).await;

    let mut places = shown(&program).await;
    places.extend([("an answer", answers), ("an answer while spooling", more_answers), ("a message", messages)]);
    let secrets = SECRETS.iter().map(|(_, secret)| Marker::of(secret));
    // What is searched is really there.
    for (place, text) in
        [("the log", "signature_refused"), ("an answer", "signature-refused"), ("a message", "body_sha256")]
    {
        assert!(places.iter().any(|(name, shown)| *name == place && shown.contains(text)), "{place}");
    }
    for marker in secrets.chain([password, wrong]).chain(OTHERS.map(Marker::of)) {
        for (place, text) in &places {
            marker.assert_absent(place, text);
        }
    }
    drop(program);
    broker.clean_up().await;
}

/// Signs as the source `generic` with another secret.
fn signed(secret: &str, id: &str) -> Vec<u8> {
    let catalogue = Catalogue::built_in().unwrap();
    let signer = Signer::new(catalogue.get("generic").unwrap(), secrecy::SecretString::from(secret)).unwrap();
    let signed = signer.sign(Outgoing { id, topic: "t", body: b"{}", at: OffsetDateTime::now_utc() }).unwrap();
    Webhook { source: "generic".to_owned(), body: signed.body, headers: signed.headers }.request()
}

/// The old secret alone, then both, then the new one alone: at no time is a genuine webhook refused, and in the end
/// the old secret is worth nothing.
#[tokio::test]
async fn a_secret_is_rotated_without_a_gap() {
    let broker = Broker::connect().await;
    let config = configuration(&broker.prefix, "");
    let default = fs::read_to_string(&config).unwrap();
    let place = config.with_file_name("generic");
    let next = config.with_file_name("generic-next");
    fs::write(&next, "the-next-one").unwrap();
    let one = format!("{{ file = {place:?} }}");
    let steps = [
        (one.clone(), [200, 401]),
        (format!("{one}, {{ file = {next:?} }}"), [200, 200]),
        (format!("{{ file = {next:?} }}, {one}"), [200, 200]),
        (format!("{{ file = {next:?} }}"), [401, 200]),
    ];
    for (step, (secrets, statuses)) in steps.into_iter().enumerate() {
        assert!(default.contains(&one));
        let mut program = Program::start(&broker, |_| fs::write(&config, default.replace(&one, &secrets)).unwrap());
        program.ready().await;
        for (secret, status) in ["hush-generic", "the-next-one"].into_iter().zip(statuses) {
            let id = format!("{secret}-{step}");
            assert_eq!(program.send(&signed(secret, &id)).await.status, status, "{secret} in step {step}");
            if status == 200 {
                assert_eq!(broker.take().await.id, id);
            }
        }
        assert!(program.terminate().await.success());
    }
    assert!(broker.is_empty().await);
    broker.clean_up().await;
}
