//! How many bytes wait in the work queue, against `queue.max_bytes`: AMQP does not tell, `RabbitMQ`'s own metrics do.
//!
//! The broker itself counts them anew every few seconds.

use super::{INTERVAL, Monitor, openmetrics, services};

/// The family that has the bytes; the plain `/metrics` has no queues.
const PATH: &str = "/metrics/detailed?family=queue_metrics";
/// What is read: a broker may have many queues, and none of them is to fill the console's memory.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A broker may have queues of that name in several virtual hosts.
pub(super) struct WorkQueue {
    pub(super) virtual_host: String,
    pub(super) name: String,
}

/// Looks for ever.
pub(super) async fn watch(monitor: Monitor, urls: String, queue: WorkQueue) {
    let client = match services::client() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "cannot ask the broker for its metrics");
            return;
        }
    };
    let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/')).filter(|url| !url.is_empty());
    let urls: Vec<String> = urls.map(|url| format!("{url}{PATH}")).collect();
    while !urls.is_empty() {
        let said = ask(&client, &urls, &queue).await;
        monitor.known().set_work_bytes(said);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Each node of a cluster tells of the queues that it leads: the first that tells of this one is believed.
async fn ask(client: &reqwest::Client, urls: &[String], queue: &WorkQueue) -> Result<Option<u64>, String> {
    let mut said = Ok(None);
    for url in urls {
        match read(client, url).await {
            Ok(text) => {
                if let Some(bytes) = ready_bytes(&text, queue) {
                    return Ok(Some(bytes));
                }
            }
            Err(error) => said = Err(services::told(&error)),
        }
    }
    said
}

async fn read(client: &reqwest::Client, url: &str) -> reqwest::Result<String> {
    let mut answer = client.get(url).send().await?.error_for_status()?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_BYTES {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn ready_bytes(text: &str, queue: &WorkQueue) -> Option<u64> {
    let bytes = openmetrics::read(text).into_iter().find(|sample| {
        sample.name == "rabbitmq_detailed_queue_messages_ready_bytes"
            && sample.label("vhost") == queue.virtual_host
            && sample.label("queue") == queue.name
    });
    bytes.map(|sample| sample.value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_queues_bytes_are_told_apart_from_others() {
        let text = "rabbitmq_detailed_queue_messages_ready_bytes{vhost=\"/\",queue=\"shop.webhooks\"} 1000\n\
                    rabbitmq_detailed_queue_messages_bytes{vhost=\"/\",queue=\"shop.webhooks\"} 3000\n\
                    rabbitmq_detailed_queue_messages_ready_bytes{vhost=\"/\",queue=\"shop.webhooks.dead\"} 7000\n";
        let bytes = |virtual_host: &str, name: &str| {
            ready_bytes(text, &WorkQueue { virtual_host: virtual_host.to_owned(), name: name.to_owned() })
        };
        assert_eq!(bytes("/", "shop.webhooks"), Some(1_000));
        assert_eq!((bytes("/", "webhooks"), bytes("test", "shop.webhooks")), (None, None));
    }
}
