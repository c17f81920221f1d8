//! Variables of the environment that are read without a command line.

/// A variable that is set. Compose passes an unset one on as an empty one.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
