//! `console_page_ms`: what the console's pages and listings take with a million webhooks behind them.
//!
//! Counted on the client's side, from the request to the whole answer, over the loopback and one after the other. Each
//! round asks every page some times. The figure is the median of the slowest page of a round; `console_answer_ms` is the
//! slowest single answer, which a busy machine decides as much as the page; and each page has a figure of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};

use crate::database::Database;
use crate::process::TOKEN;
use crate::results::Unit;
use crate::run::{Run, say};
use crate::statistics::Series;

/// How often a page is asked for in a round.
const ASKS: usize = 10;
/// How long the monitor is given to look at the database for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(8);

/// How often is looked whether a job has ended.
const LOOK: Duration = Duration::from_millis(100);

/// What is asked for. `{…}` stands for something that is read out of the database.
const PAGES: [(&str, &str); 45] = [
    ("overview", "/"),
    ("overview_now", "/overview/now"),
    ("webhooks", "/webhooks"),
    ("webhooks_source", "/webhooks?source=generic"),
    ("webhooks_deep", "/webhooks?after={middle}"),
    ("webhooks_until", "/webhooks?until=15d"),
    ("webhooks_topic_many", "/webhooks?topic=orders/paid"),
    ("webhooks_topic_few", "/webhooks?topic=orders/cancelled"),
    ("webhooks_topic_none", "/webhooks?topic=no/such"),
    ("webhooks_skipped", "/webhooks?status=skipped"),
    ("webhooks_duplicated", "/webhooks?status=duplicated"),
    ("webhooks_parked", "/webhooks?status=parked"),
    ("webhooks_discarded_few", "/webhooks?status=discarded&topic=orders/cancelled"),
    ("webhooks_retrying", "/webhooks?status=retrying"),
    ("webhooks_id", "/webhooks?q={id}"),
    ("webhooks_key", "/webhooks?q=%23777777"),
    ("webhooks_key_shared", "/webhooks?q=buyer-7@customers.example"),
    ("webhooks_nothing", "/webhooks?q=no-such-thing"),
    ("webhooks_text_first", "/webhooks?text=customers.example&since=2h"),
    ("webhooks_text_none", "/webhooks?text=no-such-text&since=3d"),
    ("webhooks_text_deep", "/webhooks?text=no-such-text&after={middle}"),
    ("webhook", "/webhooks/shopify/{id}"),
    ("webhook_moving", "/moving/shopify/{id}"),
    ("parked", "/parked"),
    ("parked_deep", "/parked?after={parked}"),
    ("parked_reason", "/parked?reason=too-old"),
    ("parked_source_topic_none", "/parked?source=generic&topic=no/such"),
    ("parked_resolved", "/parked?state=resolved"),
    ("parked_redriving", "/parked?state=redriving"),
    ("outbox", "/outbox"),
    ("outbox_deep", "/outbox?before={outbox}"),
    ("outbox_pending", "/outbox?show=pending"),
    ("outbox_pending_deep", "/outbox?show=pending&before={outbox}"),
    ("outbox_pending_none", "/outbox?show=pending&effect=no-such"),
    ("outbox_failing", "/outbox?show=failing"),
    ("outbox_failing_few", "/outbox?show=failing&effect=operator-alert"),
    ("outbox_webhook", "/outbox?webhook={id}"),
    ("outbox_cancelled_none", "/outbox?show=cancelled&effect=no-such"),
    ("outbox_ambiguous_few", "/outbox?show=ambiguous&effect=operator-alert"),
    ("inventory", "/inventory"),
    ("inventory_deep", "/inventory?sku=SKU-005"),
    ("sources", "/sources"),
    ("audit", "/audit"),
    ("audit_entry", "/audit/{audit}"),
    ("job", "/jobs/1"),
];
/// The same, of the API, where it is another way.
const LISTINGS: [(&str, &str); 8] = [
    ("api_overview", "/api/v1/overview"),
    ("api_series", "/api/v1/overview/series?minutes=60"),
    ("api_webhooks", "/api/v1/webhooks"),
    ("api_webhook", "/api/v1/webhooks/shopify/{id}"),
    ("api_parked", "/api/v1/parked?state=any"),
    ("api_outbox_pending_few", "/api/v1/outbox?show=pending&effect=operator-alert"),
    ("api_destinations", "/api/v1/destinations"),
    ("api_audit_deep", "/api/v1/audit?before={audit}"),
];

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let database = Database::open(&run.settings.database_url, "bench_console").await?;
    say(&format!("  making {} webhooks, unless they were made lately", run.settings.console_rows));
    database.crowd(run.settings.console_rows).await?;
    run.queues.renew().await?;
    let console = run.programs.console(&database.url).await?;
    tokio::time::sleep(FIRST_LOOK).await;
    do_a_job(console.address).await?;
    let session = log_in(console.address).await?;
    let pages = addressed(&database, run.settings.console_rows).await?;
    let mut each: Vec<Series> = vec![Series::default(); pages.len()];
    let (client, mut slowest_pages, mut slowest_answers) =
        (reqwest::Client::new(), Series::default(), Series::default());
    for round in 1..=run.settings.rounds() {
        let (mut slowest_page, mut slowest_answer) = (("", 0.0), ("", 0.0));
        for ((name, path), series) in pages.iter().zip(&mut each) {
            let mut asks = Series::default();
            for _ask in 0..ASKS {
                let took = ask(&client, &format!("http://{}{path}", console.address), &session).await?;
                asks.push(took);
                series.push(took);
            }
            let Some(summary) = asks.summary() else { continue };
            slowest_page = slower(slowest_page, (name, summary.median));
            slowest_answer = slower(slowest_answer, (name, summary.max));
        }
        slowest_pages.push(slowest_page.1);
        slowest_answers.push(slowest_answer.1);
        let ((page, median), (answer, most)) = (slowest_page, slowest_answer);
        say(&format!(
            "  round {round}: the slowest page {median:.0} ms ({page}), the slowest answer {most:.0} ms ({answer})"
        ));
    }
    console.stop().await?;
    run.results.put("console_page_ms", Unit::Milliseconds, &slowest_pages);
    run.results.put("console_answer_ms", Unit::Milliseconds, &slowest_answers);
    for ((name, _path), series) in pages.iter().zip(&each) {
        run.results.put(&format!("console_page_ms_{name}"), Unit::Milliseconds, series);
    }
    Ok(())
}

fn slower<'n>(one: (&'n str, f64), other: (&'n str, f64)) -> (&'n str, f64) {
    if other.1 > one.1 { other } else { one }
}

/// Every page with what its address needs.
async fn addressed(database: &Database, rows: i64) -> anyhow::Result<Vec<(&'static str, String)>> {
    let middle = "SELECT to_char(first_processed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
            || '/' || source || '/' || webhook_id FROM processed_webhooks
            WHERE source = 'shopify' AND first_processed_at > now() - interval '15 days' ORDER BY first_processed_at LIMIT 1";
    let parked = "SELECT to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
            || '/' || source || '/' || webhook_id FROM parked_webhooks
            WHERE parked_at > now() - interval '15 days' ORDER BY parked_at LIMIT 1";
    let outbox = "SELECT (min(id) + (max(id) - min(id)) / 2)::text FROM outbox";
    // An order of the source that sends most, from the middle.
    let id = format!("SELECT md5(({rows} / 20 * 10)::text)::uuid::text");
    let filled = [
        ("{middle}", database.text(middle).await?),
        ("{parked}", database.text(parked).await?),
        ("{outbox}", database.text(outbox).await?),
        ("{audit}", database.text("SELECT (min(id) + (max(id) - min(id)) / 2)::text FROM console_audit").await?),
        ("{id}", database.text(&id).await?),
    ];
    let fill = |path: &str| filled.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    Ok(PAGES.iter().chain(&LISTINGS).map(|(name, path)| (*name, fill(path))).collect())
}

/// Logs in as a browser does, whose session is looked up for each page; returns its cookie.
async fn log_in(console: SocketAddr) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let form = client.post(format!("http://{console}/login")).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = form.body(format!("token={TOKEN}")).send().await?;
    let cookie = answer.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok()?.split(';').next());
    Ok(cookie.with_context(|| format!("the login was answered {}", answer.status()))?.to_owned())
}

/// Has the console count everything that is parked, as a dry run of redriving it: its first job.
async fn do_a_job(console: SocketAddr) -> anyhow::Result<()> {
    let (client, api) = (reqwest::Client::new(), format!("http://{console}/api/v1"));
    let order = serde_json::json!({ "filter": {}, "dry_run": true });
    let begun = client.post(format!("{api}/parked/redrive")).bearer_auth(TOKEN).json(&order).send().await?;
    anyhow::ensure!(begun.status().is_success(), "no job was begun: {}", begun.status());
    loop {
        let job = client.get(format!("{api}/jobs/1")).bearer_auth(TOKEN).send().await?.error_for_status()?;
        match job.json::<serde_json::Value>().await?.get("state").and_then(serde_json::Value::as_str) {
            Some("running") => tokio::time::sleep(LOOK).await,
            Some("ended") => return Ok(()),
            other => anyhow::bail!("the job is {other:?}"),
        }
    }
}

/// Asks for a page; returns the milliseconds until all of it was there.
async fn ask(client: &reqwest::Client, url: &str, session: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let answer = client.get(url).header(COOKIE, session).send().await.with_context(|| url.to_owned())?;
    let status = answer.status();
    answer.bytes().await.with_context(|| url.to_owned())?;
    anyhow::ensure!(status.is_success(), "{url} was answered {status}");
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}
