//! Files of the repository that are made from the code: a test compares them, and writes them when it is asked to.
//!
//! No part of the services: nobody but these tests makes them.

mod list;
mod schema;

use std::fs;
use std::path::Path;

/// The file says what the code makes of it. `UPDATE_GENERATED=1` writes it anew.
fn assert_current(path: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&file, made).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == made,
        "{path} is not what the code makes; `UPDATE_GENERATED=1 cargo test -p webhook` writes it anew"
    );
}
