//! Looks at all areas side by side, each within its deadline.

use std::time::Duration;

use shared::config::Config;

use super::command::DoctorArgs;
use super::finding::{Area, Findings};
use super::report::Report;
use super::{broker, calls, configuration, database, limits, mail, secrets, services, spool};
use crate::settings::Settings;
use crate::steering::Progress;

/// How long one area may take. Longer than one attempt to connect may, which says more about what is wrong.
const DEADLINE: Duration = Duration::from_secs(20);

/// Looks at everything, and shows how far it is.
pub(super) async fn examine(settings: &Settings, arguments: &DoctorArgs) -> Report {
    let mut findings = Findings::of(Area::Configuration);
    let config = configuration::read(settings, &mut findings);
    let config = config.as_ref();
    let progress = &Progress::counting(0, "areas");
    let (secrets, broker, database, mail, calls, spool, services, limits) = tokio::join!(
        within(progress, Area::Secrets, async |found| needs(config, found, secrets::look).await),
        within(progress, Area::Broker, async |found| broker::look(settings, config, found).await),
        within(progress, Area::Database, async |found| database::look(settings, config, found).await),
        within(progress, Area::Mail, async |found| mail::look(arguments, config, found).await),
        within(progress, Area::Calls, async |found| needs(config, found, calls::look).await),
        within(progress, Area::Spool, async |found| {
            needs(config, found, async |config, found| spool::look(config, arguments, found).await).await;
        }),
        within(progress, Area::Services, async |found| services::look(settings, found).await),
        within(progress, Area::Limits, async |found| needs(config, found, limits::look).await),
    );
    let areas = [findings, secrets, broker, database, mail, calls, spool, services, limits];
    Report::new(areas.into_iter().flat_map(Findings::into_list).collect())
}

/// What is found in an area before its deadline.
async fn within(progress: &Progress, area: Area, look: impl AsyncFnOnce(&mut Findings)) -> Findings {
    progress.expect_more(1);
    let mut found = Findings::of(area);
    if tokio::time::timeout(DEADLINE, look(&mut found)).await.is_err() {
        let problem = format!("not done within {} s", DEADLINE.as_secs());
        found.fail(area.title(), problem, "find out what does not answer: the network, a firewall, the service");
    }
    progress.advance(1);
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
