//! The services themselves: whether each ingest and each worker that is named answers on its ops port, is ready, and has the
//! same time as this machine.

use super::clock;
use super::finding::Findings;
use crate::server::monitor::services::{Asker, Instance, Said, Service};
use crate::settings::Settings;

/// Looks at the services that are named.
pub(super) async fn look(settings: &Settings, found: &mut Findings) {
    let asker = match Asker::new() {
        Ok(asker) => asker,
        Err(error) => return found.skip("all of it", format!("nobody can be asked from here: {error}")),
    };
    let named = [
        (Service::Ingest, "INGEST_OPS_URL", settings.ingest_ops_url.as_deref()),
        (Service::Worker, "WORKER_OPS_URL", settings.worker_ops_url.as_deref()),
    ];
    for (service, variable, urls) in named {
        match urls.filter(|urls| !urls.trim().is_empty()) {
            Some(urls) => asker.ask(service, Some(urls)).await.iter().for_each(|instance| one(instance, found)),
            None => found.skip(service.as_str(), format!("{variable} is not set")),
        }
    }
}

fn one(instance: &Instance, found: &mut Findings) {
    let subject = format!("{} at {}", instance.service.as_str(), instance.address);
    match &instance.said {
        Err(error) => {
            let mend = "start it, or look into its log; or mend the address here: it is that of OPS_LISTEN there";
            found.fail(subject, error.clone(), mend);
        }
        Ok(Said { misses, clocks_apart, .. }) => {
            for miss in misses {
                found.fail(&subject, miss.clone(), "look into its log; what else fails here may be the cause");
            }
            if misses.is_empty() {
                found.ok(&subject, "is ready");
            }
            match clocks_apart {
                Some(apart) => clock::compare(format!("{subject}, clock"), *apart, found),
                None => found.skip(format!("{subject}, clock"), "it does not tell its time"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::doctor::finding::{Area, Finding, Verdict};

    fn findings(instance: &Instance) -> Vec<Finding> {
        let mut found = Findings::of(Area::Services);
        one(instance, &mut found);
        found.into_list()
    }

    #[test]
    fn a_service_that_is_away_misses_something_or_has_another_time_is_told() {
        let gone = findings(&Instance::that_says(Service::Ingest, "i:1", Err("it is not there")));
        assert_eq!((gone[0].status, gone[0].subject.as_str()), (Verdict::Failure, "ingest at i:1"));
        let mut worker = Instance::that_says(Service::Worker, "w:1", Ok(""));
        let verdicts = |worker: &Instance| findings(worker).iter().map(|one| one.status).collect::<Vec<_>>();
        assert_eq!(verdicts(&worker), [Verdict::Ok, Verdict::Skipped]);
        let mut apart = |seconds| {
            worker.said.as_mut().unwrap().clocks_apart = Some(Duration::seconds(seconds));
            verdicts(&worker)[1]
        };
        assert_eq!([0, 6, 61].map(&mut apart), [Verdict::Ok, Verdict::Warning, Verdict::Failure]);
        worker.said.as_mut().unwrap().misses.push("no connection to the broker".to_owned());
        assert_eq!(verdicts(&worker), [Verdict::Failure, Verdict::Failure]);
    }
}
