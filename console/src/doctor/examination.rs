//! Looks at all areas side by side, each within its deadline.

use std::time::Duration;

use shared::config::Config;

use super::command::DoctorArgs;
use super::finding::{Area, Findings};
use super::report::Report;
use super::{broker, calls, configuration, database, limits, mail, secrets, services, spool};
use crate::settings::Settings;

/// How long one area may take. Longer than one attempt to connect may, which says more about what is wrong.
const DEADLINE: Duration = Duration::from_secs(20);

/// Looks at everything.
pub(super) async fn examine(settings: &Settings, arguments: &DoctorArgs) -> Report {
    let mut findings = Findings::of(Area::Configuration);
    let config = configuration::read(settings, &mut findings);
    let config = config.as_ref();
    let (secrets, broker, database, mail, calls, spool, services, limits) = tokio::join!(
        within(Area::Secrets, async |found| needs(config, found, secrets::look).await),
        within(Area::Broker, async |found| broker::look(settings, config, found).await),
        within(Area::Database, async |found| database::look(settings, config, found).await),
        within(Area::Mail, async |found| mail::look(arguments, config, found).await),
        within(Area::Calls, async |found| needs(config, found, calls::look).await),
        within(Area::Spool, async |found| {
            needs(config, found, async |config, found| spool::look(config, arguments, found).await).await;
        }),
        within(Area::Services, async |found| services::look(settings, found).await),
        within(Area::Limits, async |found| needs(config, found, limits::look).await),
    );
    let areas = [findings, secrets, broker, database, mail, calls, spool, services, limits];
    Report::new(areas.into_iter().flat_map(Findings::into_list).collect())
}

/// What is found in an area before its deadline.
async fn within(area: Area, look: impl AsyncFnOnce(&mut Findings)) -> Findings {
    let mut found = Findings::of(area);
    if tokio::time::timeout(DEADLINE, look(&mut found)).await.is_err() {
        let problem = format!("not done within {} s", DEADLINE.as_secs());
        found.fail(area.title(), problem, "find out what does not answer: the network, a firewall, the service");
    }
    found
}

/// What can only be looked at when the configuration could be read.
async fn needs<'c>(
    config: Option<&'c Config>,
    found: &mut Findings,
    look: impl AsyncFnOnce(&'c Config, &mut Findings),
) {
    match config {
        Some(config) => look(config, found).await,
        None => found.skip("all of it", "the configuration cannot be read"),
    }
}
