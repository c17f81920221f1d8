//! The JSON Schema of provider files, for editors. Published as `providers/schema.json`; a test holds it current.

use schemars::schema_for;

use super::ProviderFile;

/// The schema, as it is published.
///
/// # Errors
/// When it can't be written as JSON, which the test rules out.
pub fn schema() -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&schema_for!(ProviderFile))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::assert_current;

    #[test]
    fn the_published_schema_is_current() {
        assert_current("providers/schema.json", &schema().unwrap());
    }
}
