//! One trace leads from the request through the queue to each effect, as a collector sees it.

use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use secrecy::SecretString;
use serde_json::Value;
use shared::provider::Catalogue;
use shared::verification::{Outgoing, Signer};
use testing::black_hole::BlackHole;
use testing::gate::Gate;
use testing::http_sink::HttpSink;
use testing::orders::Order;
use testing::otlp_sink::{OtlpSink, SeenSpan};
use testing::process::{SHOP_SECRET, Service, WorkerOptions};
use testing::services::setting;
use testing::state::{number, processed, quicken, stock};
use testing::wait::until;
use testing::{Stack, replace, run};
use time::OffsetDateTime;
use tokio::process::Command;

/// The sender's trace and the span in it that the webhook comes from.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

/// Programs beside each other: an ingest and a worker that calls a service.
struct Programs {
    config: PathBuf,
    url: String,
    ingest: Service,
    worker: Service,
}

/// A program of the workspace.
fn binary(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join(name)
}

/// Everything about traces in a program's environment: spans go there, soon.
fn traced(command: &mut Command, endpoint: &str, more: &[(&str, &str)]) {
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "20");
    command.envs(more.iter().copied());
}

impl Programs {
    /// Starts them; orders are told to a path of the sink, too.
    async fn start(stack: &Stack, endpoint: &str, told: &str, more: &[(&str, &str)]) -> Self {
        Self::start_by(stack, endpoint, told, &setting("AMQP_URL"), more).await
    }

    /// The same, with a way to the broker for ingest.
    async fn start_by(stack: &Stack, endpoint: &str, told: &str, broker: &str, more: &[(&str, &str)]) -> Self {
        shared::crypto::install();
        stock(stack, &["MUG"]).await;
        let config = stack.configure(|text| {
            let effects = r#"effects = ["decrement-stock", "order-confirmation""#;
            let text = replace(&quicken(text), effects, &format!("{effects}, \"tell-warehouse\""));
            let effect =
                format!("url = \"{told}\"\nmap = '{{key: .id, body: {{order: .name}}}}'\nallow_private = true\n");
            format!("{text}\n[effects.http.tell-warehouse]\n{effect}")
        });
        let (ingest, url) = Service::spawn_ingest(stack, &binary("ingest"), &config, |command| {
            traced(command.env("AMQP_URL", broker), endpoint, more);
        });
        let worker = binary("worker");
        let options = WorkerOptions {
            binary: worker.to_str().unwrap(),
            config: &config,
            amqp_url: None,
            smtp_url: None,
            migrate_on_start: false,
        };
        let worker = Service::spawn_worker_in(stack, &options, |command| traced(command, endpoint, more));
        ingest.wait_until_ready().await;
        worker.wait_until_ready().await;
        Self { config, url, ingest, worker }
    }

    /// Sends an order's webhook, which is answered 200.
    async fn order(&self, stack: &Stack, order: u64, traceparent: Option<&str>) {
        assert_eq!(self.send(stack, order, SHOP_SECRET, traceparent).await, 200);
    }

    /// Sends one that is signed with a secret; returns the answer's status.
    async fn send(&self, stack: &Stack, order: u64, secret: &str, traceparent: Option<&str>) -> u16 {
        let provider = Catalogue::built_in().unwrap().get("shopify").unwrap().clone();
        let signer = Signer::new(&provider, SecretString::from(secret)).unwrap();
        let body = Order::of(order, &format!("{order}@{}", stack.mail_domain), &["MUG"]).body();
        let (id, at) = (format!("w-{order}"), OffsetDateTime::now_utc());
        let signed = signer.sign(Outgoing { id: &id, topic: "orders/paid", body: &body, at }).unwrap();
        let mut request = reqwest::Client::new().post(format!("{}/webhooks/shopify", self.url)).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// Waits until so many effects are sent.
    async fn sent(&self, stack: &Stack, effects: i64) {
        number(stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", effects).await;
    }

    /// Runs the command, whose spans go there, too.
    async fn oncehook(&self, stack: &Stack, collector: &OtlpSink, arguments: &[&str]) {
        let mut command = Command::new(binary("oncehook"));
        command.args(arguments).env_clear().env("ONCEHOOK_CONFIG", &self.config);
        command.env("DATABASE_URL", &stack.database.url).env("AMQP_URL", setting("AMQP_URL"));
        traced(&mut command, &collector.endpoint(), &[]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Ends both, which export their last spans; returns what they logged.
    async fn stop(self) -> Vec<Value> {
        let logs = [self.ingest.log_path(), self.worker.log_path()];
        assert!(self.ingest.terminate().await.success());
        assert!(self.worker.terminate().await.success());
        let text = logs.map(|log| std::fs::read_to_string(log).unwrap()).concat();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The one span of a name below a parent.
fn child<'s>(spans: &'s [SeenSpan], parent: &str, name: &str) -> &'s SeenSpan {
    let found: Vec<_> = spans.iter().filter(|span| span.parent_id == parent && span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} below {parent} in {spans:#?}");
    found[0]
}

fn assert_says(span: &SeenSpan, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(span.attribute(name), *value, "{name} of {span:#?}");
    }
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_each_effect_and_logs_name_it() {
    run(async |stack| {
        let (collector, warehouse) = (OtlpSink::start().await, HttpSink::start().await);
        let programs = Programs::start(&stack, &collector.endpoint(), &warehouse.url("/once/503"), &[]).await;
        programs.order(&stack, 1, Some(&format!("00-{TRACE}-{SENDER}-01"))).await;
        programs.sent(&stack, 2).await;
        let logs = programs.stop().await;

        let spans = collector.spans(TRACE);
        assert_eq!(spans.len(), 6, "{spans:#?}");
        assert!(spans.iter().all(|span| span.time.0 <= span.time.1), "{spans:#?}");
        let request = child(&spans, SENDER, "POST /webhooks/{source}");
        assert_eq!((request.service.as_str(), request.kind), ("oncehook-ingest", SpanKind::Server));
        let http = [("http.request.method", "POST"), ("http.route", "/webhooks/{source}")];
        assert_says(request, &http);
        assert_says(request, &[("http.response.status_code", "200"), ("webhook.id", "w-1"), ("outcome", "accepted")]);

        let queue = stack.topology.webhooks();
        let publish = child(&spans, &request.span_id, &format!("publish {queue}"));
        assert_eq!((publish.service.as_str(), publish.kind), ("oncehook-ingest", SpanKind::Producer));
        let message = [("messaging.system", "rabbitmq"), ("messaging.destination.name", queue.as_str())];
        assert_says(publish, &[&message[..], &[("messaging.message.id", "w-1"), ("outcome", "queued")]].concat());

        let process = child(&spans, &publish.span_id, &format!("process {queue}"));
        assert_eq!((process.service.as_str(), process.kind), ("oncehook-worker", SpanKind::Consumer));
        let processed = [("messaging.operation.name", "process"), ("outcome", "completed"), ("attempt", "0")];
        assert_says(process, &[&message[..], &processed].concat());

        let mail = child(&spans, &process.span_id, "send order-confirmation");
        assert_eq!((mail.kind, mail.failed, mail.attribute("outcome")), (SpanKind::Client, false, "sent"));
        assert_says(mail, &[("server.address", "127.0.0.1"), ("webhook.id", "w-1"), ("attempt", "1")]);
        let calls: Vec<_> = spans.iter().filter(|span| span.name == "send tell-warehouse").collect();
        let [first, second] = calls[..] else { panic!("{calls:#?}") };
        assert!(first.failed && !second.failed, "{calls:#?}");
        assert!(calls.iter().all(|call| call.parent_id == process.span_id && call.kind == SpanKind::Client));
        assert_says(first, &[("attempt", "1"), ("http.response.status_code", "503"), ("error.type", "retried")]);
        assert_says(second, &[("attempt", "2"), ("http.response.status_code", "200"), ("server.address", "127.0.0.1")]);
        let seen: Vec<_> = warehouse.calls().iter().map(|call| call.headers["traceparent"].clone()).collect();
        assert_eq!(seen, [first.traceparent(), second.traceparent()], "each call carries its own attempt's context");

        let named: Vec<_> = logs.iter().filter(|line| !line["webhook.id"].is_null()).collect();
        for message in ["webhook", "webhook processed", "effect sent", "effect not sent"] {
            assert!(named.iter().any(|line| line["message"] == message), "{message} in {logs:#?}");
        }
        assert!(named.iter().all(|line| line["trace_id"] == TRACE), "{named:#?}");
    })
    .await;
}

/// The broker is away when it comes, and the database refuses it at first.
#[tokio::test]
async fn the_trace_goes_through_the_spool_and_up_the_ladder() {
    run(async |stack| {
        let (collector, warehouse) = (OtlpSink::start().await, HttpSink::start().await);
        // Nobody listens there, until the gate does.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let amqp_url = setting("AMQP_URL");
        let (credentials, rest) = amqp_url.rsplit_once('@').unwrap();
        let (target, vhost) = rest.split_once('/').unwrap();
        let by_the_gate = format!("{credentials}@{address}/{vhost}");
        let (endpoint, told) = (collector.endpoint(), warehouse.url("/ok"));
        let programs = Programs::start_by(&stack, &endpoint, &told, &by_the_gate, &[]).await;
        let curse =
            "CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'cursed'; END $$;
             CREATE TRIGGER curse BEFORE INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION curse()";
        stack.database.execute(curse).await;
        programs.order(&stack, 1, Some(&format!("00-{TRACE}-{SENDER}-01"))).await;

        let _gate = Gate::at(address, target.to_owned()).await;
        number(&stack, "SELECT least(count(*), 1) FROM webhook_failures WHERE outcome = 'retry'", 1).await;
        stack.database.execute("DROP TRIGGER curse ON inventory_ledger").await;
        programs.sent(&stack, 2).await;
        programs.stop().await;

        let (spans, queue) = (collector.spans(TRACE), stack.topology.webhooks());
        let request = child(&spans, SENDER, "POST /webhooks/{source}");
        let publish = child(&spans, &request.span_id, &format!("publish {queue}"));
        assert_says(publish, &[("outcome", "spooled")]);
        let attempts: Vec<_> = spans.iter().filter(|span| span.parent_id == publish.span_id).collect();
        let (last, failed) = attempts.split_last().unwrap();
        assert!(!failed.is_empty() && failed.iter().all(|attempt| attempt.failed), "{attempts:#?}");
        assert_says(failed[0], &[("attempt", "0"), ("outcome", "retried"), ("error.type", "retried")]);
        assert_says(last, &[("attempt", &failed.len().to_string()), ("outcome", "completed")]);
        for effect in ["send order-confirmation", "send tell-warehouse"] {
            assert!(!child(&spans, &last.span_id, effect).failed, "below the attempt that succeeded");
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_sender_does_not_record_is_not_recorded_here_and_a_person_goes_on_in_the_trace() {
    run(async |stack| {
        let (collector, warehouse) = (OtlpSink::start().await, HttpSink::start().await);
        let programs = Programs::start(&stack, &collector.endpoint(), &warehouse.url("/ok"), &[]).await;
        programs.order(&stack, 1, Some(&format!("00-{TRACE}-{SENDER}-00"))).await;
        programs.sent(&stack, 2).await;
        let unrecorded = warehouse.calls()[0].headers["traceparent"].clone();
        assert!(unrecorded.starts_with(&format!("00-{TRACE}-")) && unrecorded.ends_with("-00"), "{unrecorded}");

        programs.oncehook(&stack, &collector, &["replay", "shopify", "w-1", "--run", "again"]).await;
        processed(&stack, 2).await;
        programs.stop().await;

        let spans = collector.spans(TRACE);
        let queue = stack.topology.webhooks();
        let [publish, process] = &spans[..] else { panic!("only the replay's two: {spans:#?}") };
        assert_eq!((publish.name.as_str(), publish.kind), (format!("publish {queue}").as_str(), SpanKind::Producer));
        assert_eq!((publish.service.as_str(), publish.attribute("outcome")), ("oncehook-console", "replayed"));
        assert_eq!((&process.parent_id, process.kind), (&publish.span_id, SpanKind::Consumer));
    })
    .await;
}

#[tokio::test]
async fn what_was_parked_and_is_redriven_goes_on_in_the_trace_to_its_effects() {
    run(async |stack| {
        let (collector, warehouse) = (OtlpSink::start().await, HttpSink::start().await);
        let programs = Programs::start(&stack, &collector.endpoint(), &warehouse.url("/ok"), &[]).await;
        stack.database.execute("DELETE FROM inventory").await;
        programs.order(&stack, 1, Some(&format!("00-{TRACE}-{SENDER}-01"))).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked'", 1).await;
        programs.oncehook(&stack, &collector, &["inventory", "set", "MUG", "7"]).await;
        programs.oncehook(&stack, &collector, &["parked", "redrive", "shopify", "w-1"]).await;
        // The operator's alert is the third.
        programs.sent(&stack, 3).await;
        programs.stop().await;

        let (spans, queue) = (collector.spans(TRACE), stack.topology.webhooks());
        let redriven: Vec<_> = spans.iter().filter(|span| span.service == "oncehook-console").collect();
        let [publish] = redriven[..] else { panic!("only the redrive's: {spans:#?}") };
        assert_says(publish, &[("outcome", "redriven"), ("messaging.message.id", "w-1")]);
        let process = child(&spans, &publish.span_id, &format!("process {queue}"));
        assert_says(process, &[("outcome", "completed")]);
        for effect in ["send order-confirmation", "send tell-warehouse"] {
            assert!(!child(&spans, &process.span_id, effect).failed, "{effect}");
        }
    })
    .await;
}

#[tokio::test]
async fn strangers_make_no_spans() {
    run(async |stack| {
        let (collector, warehouse) = (OtlpSink::start().await, HttpSink::start().await);
        let programs = Programs::start(&stack, &collector.endpoint(), &warehouse.url("/ok"), &[]).await;
        let theirs = "0af7651916cd43dd8448eb211c80319c";
        let sampled = format!("00-{theirs}-{SENDER}-01");
        for stranger in 2..5 {
            assert_eq!(programs.send(&stack, stranger, "guessed", Some(&sampled)).await, 401);
        }
        programs.order(&stack, 1, Some(&format!("00-{TRACE}-{SENDER}-01"))).await;
        programs.sent(&stack, 2).await;
        programs.stop().await;
        assert_eq!((collector.spans(theirs), collector.spans(TRACE).len()), (Vec::new(), 5));
    })
    .await;
}

/// The exporter's own patience is ten minutes here; both programs have to end within one.
#[tokio::test]
async fn a_collector_that_never_answers_holds_up_no_webhook_and_no_end() {
    run(async |stack| {
        let (collector, warehouse) = (BlackHole::open().await, HttpSink::start().await);
        let endpoint = format!("http://{}", collector.address);
        let patient = [("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"), ("OTEL_BSP_MAX_QUEUE_SIZE", "1")];
        let programs = Programs::start(&stack, &endpoint, &warehouse.url("/ok"), &patient).await;
        for order in 1..=5 {
            programs.order(&stack, order, None).await;
        }
        programs.sent(&stack, 10).await;
        until("ingest tells of spans that it dropped", || async {
            let metrics = programs.ingest.metrics().await;
            let dropped =
                metrics.lines().find_map(|line| line.strip_prefix("oncehook_spans_total{outcome=\"dropped\"} "));
            (dropped?.parse::<u64>().unwrap() > 0).then_some(())
        })
        .await;
        let logs = programs.stop().await;
        assert!(logs.iter().any(|line| line["message"] == "the last spans could not be exported"), "{logs:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_once_and_loses_no_webhook() {
    run(async |stack| {
        let warehouse = HttpSink::start().await;
        // Port 9 is nobody's here.
        let programs = Programs::start(&stack, "http://127.0.0.1:9", &warehouse.url("/ok"), &[]).await;
        programs.order(&stack, 1, None).await;
        programs.sent(&stack, 2).await;
        until("ingest tells of spans that it could not export", || async {
            let metrics = programs.ingest.metrics().await;
            (!metrics.contains("oncehook_spans_total{outcome=\"failed\"} 0")).then_some(())
        })
        .await;
        let logs = programs.stop().await;
        let told = |line: &&Value| line["message"] == "spans cannot be exported and are lost; webhooks are not";
        assert!((1..=2).contains(&logs.iter().filter(told).count()), "once a program: {logs:#?}");
    })
    .await;
}
