//! Strangers that open connections and say next to nothing, while real webhooks arrive.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::world::World;

const SLOW_HEADS: usize = 600;
const SLOW_BODIES: usize = 300;
const LASTS: Duration = Duration::from_secs(10);

pub(super) const CONNECTIONS: Fault = Fault {
    number: 25,
    name: "connection-storm",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, _| storm(world).boxed_local(),
};

async fn storm(world: &World) -> anyhow::Result<Injected> {
    let head = "POST /webhooks/shopify HTTP/1.1\r\nhost: shop.example\r\n";
    let body = "POST /webhooks/shopify HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5000\r\n\r\n{";
    let until = Instant::now() + LASTS;
    let heads = (0..SLOW_HEADS).map(|_| stranger(world.ingest_port, head, until));
    let bodies = (0..SLOW_BODIES).map(|_| stranger(world.ingest_port, body, until));
    let opened: usize = join_all(heads.chain(bodies)).await.into_iter().sum();
    anyhow::ensure!(opened > SLOW_HEADS + SLOW_BODIES, "only {opened} connections were opened");
    Injected::noted(format!("{opened} connections with heads or bodies that never ended"))
}

/// Opens one connection after the other, each until ingest ends it; returns how many.
async fn stranger(port: u16, says: &'static str, until: Instant) -> usize {
    let mut opened = 0;
    while Instant::now() < until {
        let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        opened += 1;
        let mut answer = Vec::new();
        let said = connection.write_all(says.as_bytes()).await;
        let ended = tokio::time::timeout(LASTS, connection.read_to_end(&mut answer)).await;
        drop((said, ended)); // whatever it was told
    }
    opened
}
