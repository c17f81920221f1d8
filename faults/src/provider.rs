//! The fake provider: sends at a steady rate whatever becomes of it, and sends again what was not answered 2xx.
//!
//! Open loop: a slow answer does not slow the next webhook down, as a shop's buyers do not wait for it either.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::history::{Answer, History};
use crate::shop::{Shop, Webhook};

/// Shopify gives an answer five seconds (<https://shopify.dev/docs/apps/build/webhooks/subscribe/https>).
const PATIENCE: Duration = Duration::from_secs(5);
/// Deliveries under way at once; more wait, as a provider's do.
const CONCURRENT: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends one run's webhooks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Provider {
    url: String,
    client: reqwest::Client,
    history: Arc<Mutex<History>>,
    deliveries: TaskTracker,
    room: Arc<Semaphore>,
    /// Nobody sends anything again after this.
    gives_up: CancellationToken,
}

impl Provider {
    /// A provider that sends to a source's URL.
    pub(crate) fn new(url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        Ok(Self {
            url,
            client,
            history: Arc::default(),
            deliveries: TaskTracker::new(),
            room: Arc::new(Semaphore::new(CONCURRENT)),
            gives_up: CancellationToken::new(),
        })
    }

    /// What was sent and answered so far.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins deliveries at a rate until told to stop.
    pub(crate) async fn send(&self, shop: &mut Shop, per_second: u32, stop: &CancellationToken) {
        let mut ticks = interval(Duration::from_secs(1) / per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.begin(shop.next_webhook()),
            }
        }
    }

    /// Begins one webhook's delivery.
    pub(crate) fn begin(&self, webhook: Webhook) {
        self.history().sends(&webhook);
        let this = self.clone();
        self.deliveries.spawn(async move { this.deliver(&webhook).await });
    }

    /// Waits until every webhook has its 2xx; returns whether that came about in time.
    pub(crate) async fn finish(&self, within: Duration) -> bool {
        self.deliveries.close();
        let finished = tokio::time::timeout(within, self.deliveries.wait()).await.is_ok();
        self.gives_up.cancel();
        self.deliveries.wait().await;
        finished
    }

    async fn deliver(&self, webhook: &Webhook) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Ok(place) = self.room.acquire().await else { return };
            let began = Instant::now();
            let answer = self.post(webhook).await;
            if self.history().hears(webhook, answer, began) {
                return;
            }
            drop(place);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.gives_up.cancelled() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&self, webhook: &Webhook) -> Answer {
        let mut request = self.client.post(&self.url).body(webhook.body.clone());
        for (name, value) in webhook.headers() {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(answer) => Answer::Status(answer.status().as_u16()),
            Err(_unanswered) => Answer::None,
        }
    }
}
