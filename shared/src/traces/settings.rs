//! What OpenTelemetry's standard variables say
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>), read by ourselves so that a
//! mistake is told and not passed over. `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_RESOURCE_ATTRIBUTES` are the SDK's to read.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use url::Url;

/// Where OTLP takes spans, below `OTEL_EXPORTER_OTLP_ENDPOINT`.
const TRACES_PATH: &str = "v1/traces";

/// A variable that cannot be followed. Its value is not shown: an address may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not {right}")]
pub struct SettingError {
    variable: &'static str,
    right: String,
}

/// How spans are sampled, kept and sent.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where spans are posted to.
    pub(super) endpoint: Url,
    /// What one export may take, retries included.
    pub(super) timeout: Duration,
    /// Which traces are recorded.
    pub(super) sampler: Sampler,
    /// The most spans that wait.
    pub(super) queue: usize,
    /// The most spans of one export.
    pub(super) batch: usize,
    /// How long spans wait for company.
    pub(super) delay: Duration,
    /// `service.name`, if it is not the program's own.
    pub(super) service: Option<String>,
}

impl Settings {
    /// Reads them; `None`: there are to be no spans.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SettingError> {
        let read = Read(&variable);
        let Some(endpoint) = read.endpoint()? else { return Ok(None) };
        if read.is_off()? {
            return Ok(None);
        }
        let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        if let Some((name, _)) = read.first(protocols).filter(|(_, value)| value != "http/protobuf") {
            return Err(mistake(name, "http/protobuf, the one protocol that is spoken"));
        }
        let queue = read.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1, 1_000_000)?;
        let timeout = match variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") {
            Some(_given) => read.number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", 0, 1, 600_000)?,
            None => read.number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 1, 600_000)?,
        };
        Ok(Some(Self {
            endpoint,
            timeout: Duration::from_millis(timeout),
            sampler: read.sampler()?,
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            batch: usize::try_from(read.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", queue.min(512), 1, queue)?)
                .unwrap_or(usize::MAX),
            delay: Duration::from_millis(read.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 1, 600_000)?),
            service: variable("OTEL_SERVICE_NAME"),
        }))
    }

    /// The address without what it may hold of secrets.
    pub(super) fn shown_endpoint(&self) -> impl Display {
        format!("{}{}", self.endpoint.origin().ascii_serialization(), self.endpoint.path())
    }
}

/// Reads variables by name; what is empty is not there.
struct Read<F>(F);

impl<F: Fn(&str) -> Option<String>> Read<F> {
    /// The first of some that is there.
    fn first<const N: usize>(&self, names: [&'static str; N]) -> Option<(&'static str, String)> {
        names.into_iter().find_map(|name| Some((name, (self.0)(name)?)))
    }

    fn endpoint(&self) -> Result<Option<Url>, SettingError> {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let Some((name, text)) = self.first(names) else { return Ok(None) };
        let wrong = || mistake(name, "the http:// or https:// address of an OTLP/HTTP collector");
        let mut url = Url::parse(&text).map_err(|_no_url| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        // The address of the signal is taken as it is; below the other is one for each signal.
        if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            let path = format!("{}/{TRACES_PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Ok(Some(url))
    }

    fn is_off(&self) -> Result<bool, SettingError> {
        if (self.0)("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(true);
        }
        match (self.0)("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => Ok(false),
            Some("none") => Ok(true),
            Some(_other) => Err(mistake("OTEL_TRACES_EXPORTER", "otlp or none")),
        }
    }

    /// Whoever begins the trace decides, unless told otherwise.
    fn sampler(&self) -> Result<Sampler, SettingError> {
        let by_parent = |root| Sampler::ParentBased(Box::new(root));
        Ok(match (self.0)("OTEL_TRACES_SAMPLER").as_deref() {
            None | Some("parentbased_always_on") => by_parent(Sampler::AlwaysOn),
            Some("parentbased_always_off") => by_parent(Sampler::AlwaysOff),
            Some("parentbased_traceidratio") => by_parent(Sampler::TraceIdRatioBased(self.ratio()?)),
            Some("always_on") => Sampler::AlwaysOn,
            Some("always_off") => Sampler::AlwaysOff,
            Some("traceidratio") => Sampler::TraceIdRatioBased(self.ratio()?),
            Some(_other) => {
                let right = "always_on, always_off or traceidratio, or one of these with parentbased_ before it";
                return Err(mistake("OTEL_TRACES_SAMPLER", right));
            }
        })
    }

    fn ratio(&self) -> Result<f64, SettingError> {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = (self.0)(name) else { return Ok(1.0) };
        let ratio = f64::from_str(&text).ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.ok_or_else(|| mistake(name, "a number from 0 to 1, the part of traces that is recorded"))
    }

    fn number(&self, name: &'static str, default: u64, least: u64, most: u64) -> Result<u64, SettingError> {
        let Some(text) = (self.0)(name) else { return Ok(default) };
        let number = u64::from_str(&text).ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| mistake(name, &format!("a whole number from {least} to {most}")))
    }
}

fn mistake(variable: &'static str, right: &str) -> SettingError {
    SettingError { variable, right: right.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        Settings::read(value).map_err(|error| error.to_string())
    }

    #[test]
    fn without_an_address_there_are_no_spans_and_with_one_the_defaults_are_the_standards() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("OTEL_TRACES_SAMPLER", "always_on")]).unwrap().is_none());
        assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
        assert!(read(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
        let settings = read(&[ENDPOINT]).unwrap().unwrap();
        assert_eq!(settings.endpoint.as_str(), "http://collector:4318/v1/traces");
        assert_eq!((settings.queue, settings.batch), (2048, 512));
        assert_eq!((settings.timeout, settings.delay), (Duration::from_secs(10), Duration::from_secs(5)));
        assert_eq!(format!("{:?}", settings.sampler), "ParentBased(AlwaysOn)");
    }

    #[test]
    fn the_signals_own_variables_go_before_the_general_ones() {
        let own = [
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:secret@other/as/it/is"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "7"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "8"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ];
        let settings = read(&own).unwrap().unwrap();
        assert_eq!(settings.endpoint.path(), "/as/it/is");
        assert_eq!(settings.shown_endpoint().to_string(), "https://other/as/it/is");
        assert_eq!((settings.timeout, settings.queue, settings.batch), (Duration::from_millis(7), 100, 100));
        assert_eq!(format!("{:?}", settings.sampler), "TraceIdRatioBased(0.25)");
        let below = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/otlp/")]).unwrap().unwrap();
        assert_eq!(below.endpoint.path(), "/otlp/v1/traces");
    }

    #[test]
    fn a_mistake_names_its_variable_and_what_is_right_and_no_secret() {
        for (variable, value, right) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "user:hush@collector:4317", "the http:// or https:// address"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "otlp or none"),
            ("OTEL_TRACES_SAMPLER", "xray", "always_on"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number from 1 to 1000000"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049", "a whole number from 1 to 2048"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a whole number from 1 to 600000"),
        ] {
            let error = read(&[ENDPOINT, (variable, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{variable} is not {right}")), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        let ratio = [ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "10")];
        assert!(read(&ratio).unwrap_err().starts_with("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1"));
    }
}
