//! Whether a request that acts came from a page of ours.
//!
//! Three things are asked, each enough by itself in a browser that works: the cookie is `SameSite=Strict`, the headers
//! `Sec-Fetch-Site` and `Origin` must not name another site, and the form must repeat what only our page knows: a hash of
//! the session's cookie, which no script and no other site can read.

use actix_web::HttpRequest;
use actix_web::http::header;
use aws_lc_rs::constant_time;
use shared::message::sha256;

/// What a page's forms repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsrfToken(String);

impl CsrfToken {
    /// Of the session with this cookie.
    pub(crate) fn of(cookie: &str) -> Self {
        Self(hex::encode(sha256(format!("csrf of {cookie}").as_bytes())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a form repeats it.
    pub(crate) fn is_repeated_by(&self, repeated: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), repeated.as_bytes()).is_ok()
    }
}

/// Whether the headers say that another site made the request. Old browsers and programs send neither: then they
/// say nothing.
pub(crate) fn is_from_elsewhere(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let Some(origin) = text("origin") else { return false };
    let authority = origin.split_once("://").map(|(_scheme, authority)| authority);
    authority.is_none() || authority != text(header::HOST.as_str())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], false)]
    #[case(&[("sec-fetch-site", "same-origin"), ("origin", "https://hooks.example")], false)]
    #[case(&[("sec-fetch-site", "none")], false)]
    #[case(&[("sec-fetch-site", "same-site")], true)]
    #[case(&[("sec-fetch-site", "cross-site")], true)]
    #[case(&[("origin", "https://evil.example")], true)]
    #[case(&[("origin", "https://hooks.example.evil.example")], true)]
    #[case(&[("origin", "https://hooks.example:444")], true)]
    #[case(&[("origin", "null")], true)]
    fn what_another_site_made_is_told(#[case] headers: &[(&'static str, &'static str)], #[case] elsewhere: bool) {
        let mut request = TestRequest::post().insert_header(("host", "hooks.example"));
        for header in headers {
            request = request.insert_header(*header);
        }
        assert_eq!(is_from_elsewhere(&request.to_http_request()), elsewhere);
    }

    #[test]
    fn a_form_repeats_what_belongs_to_its_own_session() {
        let token = CsrfToken::of("cookie");
        assert!(token.is_repeated_by(CsrfToken::of("cookie").as_str()));
        assert!(!token.is_repeated_by(CsrfToken::of("another").as_str()));
        assert!(!token.is_repeated_by(""));
        assert!(!token.as_str().contains("cookie"));
    }
}
