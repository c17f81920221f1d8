//! Secrets that are recognised wherever they turn up: as they are, in hexadecimal, or in base64 whatever stands before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// A secret that occurs nowhere else.
#[derive(Debug, Clone)]
pub struct Marker {
    /// The secret.
    pub secret: String,
    shapes: Vec<String>,
}

impl Marker {
    /// A new one; `what` it is for can be read in it.
    #[must_use]
    pub fn new(what: &str) -> Self {
        Self::of(&format!("hush{what}{}", Uuid::new_v4().simple()))
    }

    /// Of a secret that is given.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let bytes = secret.as_bytes();
        let mut shapes = vec![secret.to_owned(), hex::encode(bytes)];
        shapes.extend((0..3).map(|skipped| base64_of_whole_groups(&bytes[skipped..])));
        Self { secret: secret.to_owned(), shapes }
    }

    /// Fails when the secret stands in a text.
    ///
    /// # Panics
    /// With the line that it stands in.
    pub fn assert_absent(&self, place: &str, text: &str) {
        for shape in &self.shapes {
            if let Some(line) = text.lines().find(|line| line.contains(shape.as_str())) {
                panic!("{place} tells the secret {}, as {shape}:\n{line}", self.secret);
            }
        }
    }
}

/// What base64 makes of all bytes that fill groups of three: it stands in the encoding of any longer text that
/// has these bytes at such a place.
fn base64_of_whole_groups(bytes: &[u8]) -> String {
    STANDARD.encode(&bytes[..bytes.len() / 3 * 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_found() {
        let marker = Marker::of("hush-hush");
        // printf '\0user\0hush-hush' | base64, and the same behind one byte less and one more.
        for text in
            ["say hush-hush", "AHVzZXIAaHVzaC1odXNo", "dXNlcgBodXNoLWh1c2g=", "eABodXNoLWh1c2h4", "687573682d68757368"]
        {
            let found = std::panic::catch_unwind(|| marker.assert_absent("a log", text));
            assert!(found.is_err(), "{text}");
        }
        marker.assert_absent("a log", "hush, hush");
    }
}
