//! The JSON Schema of provider files, for editors: `providers/schema.json`. The test holds it current.

use schemars::schema_for;

use super::assert_current;
use crate::provider::ProviderFile;

#[test]
fn the_published_schema_is_current() {
    let mut text = serde_json::to_string_pretty(&schema_for!(ProviderFile)).unwrap();
    text.push('\n');
    assert_current("providers/schema.json", &text);
}
