//! Whether a parked webhook may go back to the queue, and as what. Pure: decided from its row.
//!
//! Time spent parked does not count against a webhook's age: whoever claims its id while it is parked resolves its
//! row, and a claim is not purged while its id is parked. So what was young enough when it was parked still is.
//! What was not, what came with another body, and what could not be read is refused, until a person says in so many
//! words that it is right.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::config::Config;
use shared::db::parked_webhooks::ParkReason;
use shared::db::parked_webhooks::rows::{ParkedReplay, ParkedRow};
use shared::message::{REPLAY_MARK, Replay, ReplayMode, Steering};
use shared::name::Name;
use shared::provider::CatalogueError;
use time::OffsetDateTime;

/// What a person says is right, having looked at it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Accept {
    /// It was older than ids are kept when it was parked, and was not processed before. (If it was, it runs again;
    /// stock and mails have keys of their own.)
    TooOld,
    /// Another body came under its id before, and this body is to run, too: as a replay of the first.
    ChangedBody,
    /// Its envelope could not be read, or the list in its body; what `show` tells of it is right, or was mended.
    Unreadable,
}

/// Why a webhook does not go back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "it was older than ids are kept when it was parked, so whether it was processed before cannot be told; if you \
         know that it was not, say --accept too-old"
    )]
    TooOld,
    #[error(
        "another body came under its id before, so it is a duplicate; discard it, or, to run this body, too, say --accept \
         changed-body"
    )]
    ChangedBody,
    #[error(
        "it could not be read, so what is known of it may be wrong; look at it, then say --accept unreadable, or discard \
         it and have the provider send it again"
    )]
    Unreadable,
    #[error(
        "it could not be read and too little of it was saved; save the body (show --raw), discard it, and have the \
         provider send it again"
    )]
    TooLittleSaved,
    #[error("its source is not in the configuration, so no route would take it")]
    UnknownSource,
    #[error("it is a replay that came again with another body, which cannot be; discard it")]
    ChangedReplay,
    #[error("its body is purged (retention.payload_days), so there is nothing to redrive")]
    Purged,
    #[error("it does not fit into a message; save the body (show --raw) and discard it")]
    Unsendable,
}

/// What decisions depend on.
pub(crate) struct Rules {
    /// Each source's provider.
    sources: BTreeMap<Name, Name>,
    /// How long a webhook of each source may be on its way and is still told from a duplicate.
    on_its_way: BTreeMap<Name, Duration>,
    accepted: Vec<Accept>,
}

/// As what a webhook goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) source: Name,
    pub(crate) provider: Name,
    pub(crate) id: String,
    pub(crate) steering: Steering,
}

impl Rules {
    /// What a person says is right.
    pub(crate) fn accepted(&self) -> &[Accept] {
        &self.accepted
    }

    pub(crate) fn new(config: &Config, accepted: Vec<Accept>) -> Result<Self, CatalogueError> {
        let sources = config.sources.iter().map(|(name, source)| (name.clone(), source.provider.clone())).collect();
        Ok(Self { sources, on_its_way: config.on_its_way(&config.catalogue()?), accepted })
    }

    /// As what a webhook goes back to the queue, sent at `at`.
    pub(crate) fn judge(&self, row: &ParkedRow, at: OffsetDateTime) -> Result<Ticket, Refusal> {
        if row.is_purged {
            return Err(Refusal::Purged);
        }
        if row.reason == ParkReason::Unreadable {
            self.require(Accept::Unreadable, Refusal::Unreadable)?;
            self.check_saved(row)?;
        }
        let longest = self.on_its_way.get(row.key.source.as_str());
        if row.reason == ParkReason::TooOld || longest.is_some_and(|longest| row.parked_at - row.received_at > *longest)
        {
            self.require(Accept::TooOld, Refusal::TooOld)?;
        }
        let source = Name::try_from(row.key.source.as_str()).ok().filter(|name| self.sources.contains_key(name));
        let source = source.ok_or(Refusal::UnknownSource)?;
        let provider = Name::try_from(row.provider.as_str()).map_err(|_no_name| Refusal::Unsendable)?;
        let replay = self.replay(row)?;
        let id = replay.as_ref().map_or_else(|| row.key.webhook_id.clone(), Replay::id);
        Ok(Ticket { source, provider, id, steering: Steering { at, replay } })
    }

    /// The replay as which it runs, if as one.
    fn replay(&self, row: &ParkedRow) -> Result<Option<Replay>, Refusal> {
        let has_changed = row.reason == ParkReason::ChangedBody;
        match &row.replay {
            Some(parked) => {
                let replay = again(parked).filter(|replay| replay.id() == row.key.webhook_id);
                let replay = replay.ok_or(Refusal::Unsendable)?;
                if replay.is_changed_body() {
                    self.require(Accept::ChangedBody, Refusal::ChangedBody)?;
                } else if has_changed {
                    return Err(Refusal::ChangedReplay);
                }
                Ok(Some(replay))
            }
            None if row.key.webhook_id.starts_with(REPLAY_MARK) => Err(Refusal::TooLittleSaved),
            None if has_changed => {
                self.require(Accept::ChangedBody, Refusal::ChangedBody)?;
                let replay = Replay::of_changed_body(&row.key.webhook_id, &row.body_sha256);
                replay.map(Some).ok_or(Refusal::Unsendable)
            }
            None => Ok(None),
        }
    }

    fn require(&self, accept: Accept, otherwise: Refusal) -> Result<(), Refusal> {
        if self.accepted.contains(&accept) { Ok(()) } else { Err(otherwise) }
    }

    /// What could be read of an unreadable envelope must at least agree with the configuration.
    fn check_saved(&self, row: &ParkedRow) -> Result<(), Refusal> {
        let provider = self.sources.get(row.key.source.as_str());
        let agrees = provider.is_some_and(|provider| provider.as_str() == row.provider) && !row.topic.is_empty();
        if agrees { Ok(()) } else { Err(Refusal::TooLittleSaved) }
    }
}

/// The replay that was parked.
fn again(parked: &ParkedReplay) -> Option<Replay> {
    let run = Name::try_from(parked.run.as_str()).ok()?;
    Some(Replay { of: parked.of.clone(), run, mode: ReplayMode::from_text(&parked.mode)? })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use shared::db::parked_webhooks::rows::ParkState;
    use shared::db::processed_webhooks::WebhookKey;
    use time::Duration;

    use super::*;

    fn row(reason: ParkReason) -> ParkedRow {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(1_000);
        ParkedRow {
            key: WebhookKey { source: "shop".to_owned(), webhook_id: "w1".to_owned() },
            provider: "shopify".to_owned(),
            topic: "orders/paid".to_owned(),
            reason,
            detail: String::new(),
            state: ParkState::Parked,
            generation: 1,
            attempts: 5,
            body_bytes: 2,
            is_purged: false,
            body_sha256: "ab".repeat(32),
            received_at: now,
            parked_at: now,
            changed_at: now,
            redriven_at: None,
            discarded_because: None,
            replay: None,
            waits: true,
        }
    }

    fn judge(row: &ParkedRow, accepted: &[Accept]) -> Result<Ticket, Refusal> {
        let name = |text: &str| Name::try_from(text).unwrap();
        let sources = BTreeMap::from([(name("shop"), name("shopify"))]);
        let on_its_way = BTreeMap::from([(name("shop"), std::time::Duration::from_secs(30 * 24 * 3600))]);
        let rules = Rules { sources, on_its_way, accepted: accepted.to_vec() };
        rules.judge(row, row.parked_at + Duration::days(400))
    }

    #[rstest]
    #[case(ParkReason::Plan, None)]
    #[case(ParkReason::UnknownSku, None)]
    #[case(ParkReason::Data, None)]
    #[case(ParkReason::RetriesExhausted, None)]
    #[case(ParkReason::DeadLettered, None)]
    #[case(ParkReason::Unreadable, Some((Accept::Unreadable, Refusal::Unreadable)))]
    #[case(ParkReason::TooOld, Some((Accept::TooOld, Refusal::TooOld)))]
    #[case(ParkReason::ChangedBody, Some((Accept::ChangedBody, Refusal::ChangedBody)))]
    fn each_reason_goes_back_or_is_refused_until_it_is_accepted(
        #[case] reason: ParkReason,
        #[case] refusal: Option<(Accept, Refusal)>,
    ) {
        let Some((accept, refusal)) = refusal else {
            assert_eq!(judge(&row(reason), &[]).unwrap().steering.replay, None);
            return;
        };
        assert_eq!(judge(&row(reason), &[]), Err(refusal));
        let others = [Accept::TooOld, Accept::ChangedBody, Accept::Unreadable];
        let others: Vec<Accept> = others.into_iter().filter(|other| *other != accept).collect();
        assert_eq!(judge(&row(reason), &others), Err(refusal), "to accept one thing is not to accept another");
        assert!(judge(&row(reason), &[accept]).is_ok());
    }

    #[test]
    fn age_counts_up_to_the_parking_and_not_behind_it() {
        let young = row(ParkReason::Plan);
        assert!(judge(&young, &[]).is_ok());
        let old = ParkedRow { received_at: young.parked_at - Duration::days(31), ..young };
        assert_eq!(judge(&old, &[]), Err(Refusal::TooOld));
        assert!(judge(&old, &[Accept::TooOld]).is_ok());
    }

    #[test]
    fn a_changed_body_runs_under_its_own_name_and_a_parked_replay_as_it_was() {
        let changed = row(ParkReason::ChangedBody);
        let ticket = judge(&changed, &[Accept::ChangedBody]).unwrap();
        assert_eq!(ticket.id, format!("↻changed-{}:w1", "ab".repeat(20)));
        assert_eq!(judge(&changed, &[Accept::ChangedBody]), Ok(ticket.clone()), "the same each time");

        // Parked under that id in the first place, for whatever reason: the same run of the same webhook.
        let key = WebhookKey { webhook_id: ticket.id.clone(), ..changed.key.clone() };
        let run = format!("changed-{}", "ab".repeat(20));
        let replay = ParkedReplay { of: "w1".to_owned(), run, mode: "fill-in".to_owned() };
        for reason in [ParkReason::ChangedBody, ParkReason::Plan] {
            let by_itself = ParkedRow { key: key.clone(), replay: Some(replay.clone()), ..row(reason) };
            assert_eq!(judge(&by_itself, &[]), Err(Refusal::ChangedBody));
            assert_eq!(judge(&by_itself, &[Accept::ChangedBody]), Ok(ticket.clone()));
        }

        let key = WebhookKey { webhook_id: "↻again:w1".to_owned(), ..changed.key.clone() };
        let replay = ParkedReplay { of: "w1".to_owned(), run: "again".to_owned(), mode: "resend".to_owned() };
        let parked = ParkedRow { key, replay: Some(replay), ..row(ParkReason::Plan) };
        let ticket = judge(&parked, &[]).unwrap();
        assert_eq!((ticket.id.as_str(), ticket.steering.replay.unwrap().mode), ("↻again:w1", ReplayMode::Resend));
        let changed = ParkedRow { reason: ParkReason::ChangedBody, ..parked.clone() };
        assert_eq!(judge(&changed, &[Accept::ChangedBody]), Err(Refusal::ChangedReplay));
        assert_eq!(judge(&ParkedRow { replay: None, ..parked }, &[]), Err(Refusal::TooLittleSaved));
    }

    #[test]
    fn what_no_route_would_take_or_nobody_can_read_stays() {
        let plan = row(ParkReason::Plan);
        let key = WebhookKey { source: "closed".to_owned(), ..plan.key.clone() };
        assert_eq!(judge(&ParkedRow { key, ..plan }, &[]), Err(Refusal::UnknownSource));
        assert_eq!(judge(&ParkedRow { is_purged: true, ..row(ParkReason::Plan) }, &[]), Err(Refusal::Purged));
        let unread = row(ParkReason::Unreadable);
        for scrap in
            [ParkedRow { topic: String::new(), ..unread.clone() }, ParkedRow { provider: "x".to_owned(), ..unread }]
        {
            assert_eq!(judge(&scrap, &[Accept::Unreadable]), Err(Refusal::TooLittleSaved));
        }
    }
}
