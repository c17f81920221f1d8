//! What `/readyz` says: ready, degraded (webhooks are taken, with something missing), or down (they are not).

use std::sync::Arc;

use shared::amqp::LinkState;
use shared::ops::{Probe, Readiness, ReadyStatus};
use tokio_util::sync::CancellationToken;

use crate::durable::Keeper;

/// Down only when neither the broker nor the spool can take a webhook, or ingest is stopping.
pub(crate) fn probe(keeper: Keeper, stopping: CancellationToken) -> Probe {
    let link = keeper.publisher.link();
    Arc::new(move || {
        let broker = broker(*link.borrow(), keeper.breaker.is_closed());
        // Without a spool the breaker decides nothing: each webhook is tried.
        let broker_takes = broker.is_none() || (keeper.spool.is_none() && *link.borrow() == LinkState::Up);
        let spool_takes = keeper.spool.as_ref().map(|spool| (spool.takes_more(), spool.complaints()));
        let mut readiness = weigh(broker.filter(|_| !broker_takes), spool_takes);
        if stopping.is_cancelled() {
            readiness.status = ReadyStatus::Down;
            readiness.reasons.push("stopping");
        }
        readiness
    })
}

/// What is wrong with the broker.
fn broker(link: LinkState, breaker_is_closed: bool) -> Option<&'static str> {
    match link {
        LinkState::Down => Some("no connection to the broker"),
        LinkState::Blocked => Some("the broker takes no messages: it is short of memory or disk"),
        LinkState::Up if !breaker_is_closed => Some("the broker confirms nothing"),
        LinkState::Up => None,
    }
}

/// `spool`: whether it takes more, and what else is wrong with it; `None` if there is none.
fn weigh(broker: Option<&'static str>, spool: Option<(bool, Vec<&'static str>)>) -> Readiness {
    let mut reasons: Vec<_> = broker.into_iter().collect();
    let spool_takes = spool.as_ref().is_some_and(|(takes, _)| *takes);
    if let Some((takes, complaints)) = spool {
        reasons.extend((!takes).then_some("the spool takes nothing: it is full, or its disk is, or fails"));
        reasons.extend(complaints);
    }
    let status = match broker {
        Some(_) if !spool_takes => ReadyStatus::Down,
        _ if reasons.is_empty() => ReadyStatus::Ready,
        _ => ReadyStatus::Degraded,
    };
    Readiness { status, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_down_only_when_nothing_takes_webhooks() {
        let away = Some("no connection to the broker");
        let status = |broker, spool| weigh(broker, spool).status;
        assert_eq!(status(None, Some((true, vec![]))), ReadyStatus::Ready);
        assert_eq!(status(None, None), ReadyStatus::Ready);
        assert_eq!(status(None, Some((false, vec![]))), ReadyStatus::Degraded);
        assert_eq!(status(None, Some((true, vec!["corrupt"]))), ReadyStatus::Degraded);
        assert_eq!(status(away, Some((true, vec![]))), ReadyStatus::Degraded);
        assert_eq!(status(away, Some((false, vec![]))), ReadyStatus::Down);
        assert_eq!(status(away, None), ReadyStatus::Down);
        assert_eq!(broker(LinkState::Up, true), None);
        assert!(broker(LinkState::Up, false).is_some() && broker(LinkState::Blocked, true).is_some());
    }
}
