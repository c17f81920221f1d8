//! The broker's queues: how many messages wait, and how many workers take them.
//!
//! By passive declarations on a connection of its own, which touch no message. (The management API counts unacknowledged
//! messages too, and is not everywhere; reading a message to learn its age would raise its delivery count.) AMQP tells no
//! bytes: those are asked elsewhere ([`super::bytes`]).

use shared::amqp::{Broker, Topology};
use shared::error_chain::error_chain;

use super::{INTERVAL, Monitor};

/// How long the broker may take to answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// Looks for ever, on a connection that is made anew when it fails.
pub(super) async fn watch(monitor: Monitor, broker: Broker, topology: Topology) {
    loop {
        match broker.connect("console").await {
            Ok(connection) => loop {
                let depths = match tokio::time::timeout(TIMEOUT, topology.depths(&connection)).await {
                    Ok(depths) => depths.map_err(|error| error_chain(&error)),
                    Err(_elapsed) => Err("the broker does not answer".to_owned()),
                };
                let failed = depths.is_err();
                monitor.known().set_queues(depths);
                if failed {
                    break;
                }
                tokio::time::sleep(INTERVAL).await;
            },
            Err(error) => monitor.known().set_queues(Err(error_chain(&error))),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
