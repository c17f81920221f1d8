//! `RabbitMQ`: every address, what answers there, whether it takes messages, and every queue's arguments.

use std::net::ToSocketAddrs;

use shared::address::is_public;
use shared::amqp::{
    AddressReport, Broker, BrokerConnection, BrokerVersion, GreetingError, Intake, QueueStanding, Topology, intake,
};
use shared::config::{Config, QueueConfig};
use shared::error_chain::error_chain;

use super::finding::Findings;
use crate::connect;
use crate::settings::Settings;

/// The first version with everything that the queues need.
const OLDEST: (u32, u32) = (3, 10);
/// How a queue gets other arguments: the broker changes none that exist.
const MOVE: &str = "it is used as it is. To have it made anew: stop ingest (providers try again) and wait until `oncehook \
    queues` shows 0 ready in it, stop the workers, see that it is still 0, `rabbitmqctl delete_queue NAME`, start both. Or set \
    oncehook.toml to what the queue has";

/// Looks at the broker. Without a configuration its queues are not known.
pub(super) async fn look(settings: &Settings, config: Option<&Config>, found: &mut Findings) {
    if settings.amqp_url.is_none() {
        found.fail("AMQP_URL", "it is not set", "set it to amqp://user:password@host:5672/%2f");
        return;
    }
    let heartbeat_s = config.map_or_else(|| QueueConfig::default().heartbeat_s, |config| config.queue.heartbeat_s);
    let broker: Broker = match connect::broker(settings, heartbeat_s) {
        Ok(broker) => broker,
        Err(error) => return found.fail("AMQP_URL", error_chain(error.as_ref()), "mend the address"),
    };
    let mut reached = None;
    for report in broker.examine("doctor").await {
        reached = address(report, found).or(reached);
    }
    let Some(connection) = reached else {
        return found.skip("queues", "there is no connection to the broker");
    };
    match config {
        Some(config) => queues(&connection, &Topology::new(&config.queue), found).await,
        None => found.skip("queues", "the configuration cannot be read"),
    }
    // Last: a broker with an alarm hears nothing more on a connection that has published.
    messages(&connection, found).await;
    found.skip("clock", "AMQP does not tell the broker's time, and nothing depends on it");
}

/// What is at one address; the connection, if there is one.
fn address(report: AddressReport, found: &mut Findings) -> Option<BrokerConnection> {
    let AddressReport { place, encrypted, reached } = report;
    let (version, connection) = match reached {
        Ok(reached) => reached,
        Err(error) => {
            let mend = match error {
                GreetingError::Foreign => "give the AMQP port: 5672, or 5671 with amqps://",
                _ => {
                    "start the broker, or mend host, port and firewall; amqps:// needs a certificate that is trusted here"
                }
            };
            found.fail(&place, error_chain(&error), mend);
            return None;
        }
    };
    let says = format!("{} {}", version.product, version.version);
    if is_too_old(&version) {
        let mend = format!("run RabbitMQ {}.{} or newer", OLDEST.0, OLDEST.1);
        found.fail(&place, format!("{says} is too old"), mend);
    } else {
        found.ok(&place, says);
    }
    if !encrypted && is_far(&place) {
        let problem = "the way there leads over the internet and is not encrypted";
        found.warn(&place, problem, "use amqps://, or a private network");
    }
    match connection {
        Ok(connection) => {
            let status = connection.status();
            found.ok(&place, format!("takes user {} on virtual host {}", status.username(), status.vhost()));
            Some(connection)
        }
        Err(error) => {
            let mend = "mend user, password or virtual host (`rabbitmqctl list_users`, `list_permissions -p VHOST`)";
            found.fail(&place, error_chain(&error), mend);
            None
        }
    }
}

fn is_too_old(version: &BrokerVersion) -> bool {
    let mut parts = version.version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false, // another product's way of counting
    }
}

/// Whether a `host:port` has an address of the public internet. Blocks for as long as the name takes to be resolved,
/// which it has been a moment ago.
fn is_far(place: &str) -> bool {
    let addresses = place.to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    addresses.iter().any(|address| is_public(address.ip()))
}

async fn queues(connection: &BrokerConnection, topology: &Topology, found: &mut Findings) {
    let standings = match topology.examine(connection).await {
        Ok(standings) => standings,
        Err(error) => return found.fail("queues", error_chain(&error), "look into the broker's log"),
    };
    for (queue, standing) in standings {
        let subject = format!("queue {queue}");
        match standing {
            QueueStanding::AsConfigured => found.ok(subject, "is as configured"),
            QueueStanding::Missing => {
                found.warn(subject, "is not there", "start ingest or a worker: each declares all queues");
            }
            QueueStanding::Differs(words) => found.warn(subject, words, MOVE.replace("NAME", &queue)),
            QueueStanding::Refused(words) => {
                found.fail(subject, words, "grant the user configure, write and read: `rabbitmqctl set_permissions`");
            }
        }
    }
    consumers(connection, topology, found).await;
}

async fn consumers(connection: &BrokerConnection, topology: &Topology, found: &mut Findings) {
    let depths = topology.depths(connection).await;
    let work = depths.ok().and_then(|depths| depths.into_iter().find(|depth| depth.queue == topology.webhooks()));
    match work.and_then(|work| work.consumers) {
        None => {}
        Some(0) => found.warn("workers", "none takes from the work queue", "start a worker, or look into its log"),
        Some(workers) => found.ok("workers", format!("{workers} take from the work queue")),
    }
}

async fn messages(connection: &BrokerConnection, found: &mut Findings) {
    match intake(connection).await {
        Ok(Intake::Open) => found.ok("messages", "are taken; no alarm about memory or disk"),
        Ok(Intake::Blocked) => {
            let mend =
                "give it memory or disk: `rabbitmq-diagnostics alarms` says which; ingest keeps webhooks in its spool";
            found.fail("messages", "an alarm about memory or disk: the broker takes none from anybody", mend);
        }
        Ok(Intake::Refused(words)) => {
            let mend = "grant the user write on the default exchange (amq.default): `rabbitmqctl set_permissions`";
            found.fail("messages", words, mend);
        }
        Ok(Intake::Silent) => {
            found.fail("messages", "the broker does not answer to one", "look at its load, its alarms and its log");
        }
        Err(error) => found.fail("messages", error_chain(&error), "look into the broker's log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let old =
            |version: &str| is_too_old(&BrokerVersion { product: "RabbitMQ".to_owned(), version: version.to_owned() });
        assert_eq!(["3.9.29", "3.10.8", "4.0.0-rc.1", "next"].map(old), [true, false, false, false]);
    }

    #[test]
    fn only_addresses_of_the_internet_are_far() {
        assert_eq!(
            ["127.0.0.1:5672", "10.0.0.7:5672", "1.1.1.1:5672", "nonsense"].map(is_far),
            [false, false, true, false]
        );
    }
}
