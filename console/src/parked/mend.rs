//! What a person does about parked webhooks, by reason. The runbooks say it at more length.

use shared::db::parked_webhooks::ParkReason;

/// In a sentence.
pub(crate) fn mend(reason: &ParkReason) -> &'static str {
    match reason {
        ParkReason::Plan => {
            "Mend the filter, mapping or template in oncehook.toml, restart the workers, and redrive it."
        }
        ParkReason::UnknownSku => {
            "Enter the SKU (the page Stock, or oncehook inventory set SKU QUANTITY), and redrive it."
        }
        ParkReason::Data => {
            "The database refuses a value: mend the mapping that makes it, restart the workers, and redrive it."
        }
        ParkReason::RetriesExhausted => "Its failed attempts say what to mend; then redrive it.",
        ParkReason::DeadLettered => "It ends whoever handles it: report it, and discard it if it does so again.",
        ParkReason::Unreadable => "This version cannot read it: redrive it with one that can, or discard it.",
        ParkReason::TooOld => {
            "Find out by hand whether it was done: then discard it, or redrive it although it is too old."
        }
        ParkReason::ChangedBody => {
            "Compare it with what was processed: then discard it, or redrive it with its changed body."
        }
    }
}
