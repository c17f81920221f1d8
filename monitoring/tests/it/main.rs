//! What Oncehook says of itself, on real services and a real Prometheus.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod console;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod page;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod traces;
