//! Scripts and styles, embedded in the program: no page asks another host for anything.
//!
//! A path names the file's hash, so a browser keeps it for ever and asks anew when it has changed. What is not ours
//! lies in `assets/vendor` as it was published, with its licence and a list of checksums that a test compares.

use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use shared::message::sha256;

use super::problem::Problem;

/// An embedded file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $kind:literal, $file:literal) => {
        Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("../../assets/", $file)) }
    };
}

static ASSETS: [Asset; 11] = [
    asset!("console.css", "text/css; charset=utf-8", "console.css"),
    asset!("console.js", "text/javascript; charset=utf-8", "console.js"),
    asset!("theme.js", "text/javascript; charset=utf-8", "theme.js"),
    asset!("charts.js", "text/javascript; charset=utf-8", "charts.js"),
    asset!("htmx.js", "text/javascript; charset=utf-8", "vendor/htmx-2.0.11.min.js"),
    asset!("uplot.js", "text/javascript; charset=utf-8", "vendor/uplot-1.6.32.min.js"),
    asset!("docs.css", "text/css; charset=utf-8", "docs.css"),
    asset!("docs.js", "text/javascript; charset=utf-8", "docs.js"),
    asset!("swagger-ui.js", "text/javascript; charset=utf-8", "vendor/swagger-ui-5.35.0.bundle.js"),
    asset!("swagger-ui.css", "text/css; charset=utf-8", "vendor/swagger-ui-5.35.0.css"),
    asset!("uplot.css", "text/css; charset=utf-8", "vendor/uplot-1.6.32.min.css"),
];

/// A part of the hash of all files: in every path.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<u8> = ASSETS.iter().flat_map(|asset| sha256(asset.bytes)).collect();
    hex::encode(sha256(&all)).chars().take(12).collect()
});

/// Where pages find a file.
pub(crate) fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// Answers `/assets/{version}/{name}`. Needs no token: the login page has a style, too.
pub(crate) async fn asset(path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (version, name) = path.into_inner();
    let asset = ASSETS.iter().find(|asset| asset.name == name && version == *VERSION).ok_or(Problem::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type(asset.kind)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(asset.bytes))
}

/// The icon that browsers ask for by themselves.
pub(crate) async fn icon() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((header::CACHE_CONTROL, "public, max-age=86400"))
        .body(&include_bytes!("../../assets/icon.svg")[..])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_not_ours_is_as_it_was_published() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
        let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let listed: BTreeSet<String> = sums
            .lines()
            .map(|line| {
                let (sum, name) = line.split_once("  ").unwrap();
                assert_eq!(hex::encode(sha256(&std::fs::read(folder.join(name)).unwrap())), sum, "{name}");
                name.to_owned()
            })
            .collect();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_code = name.ends_with(".js") || name.ends_with(".css");
            assert!(!is_code || listed.contains(&name), "{name} is not in SHA256SUMS");
        }
    }
}
