//! Requests whose framing can be read in two ways: a proxy in front may read the other one. They are refused, the
//! connection ends, and what stands behind them on it is not looked at.

use crate::harness::{Answer, Ingest, Webhook, run};
use rstest::rstest;

fn webhook(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

/// The genuine webhook that an attacker would like to come through.
fn smuggled() -> Vec<u8> {
    webhook("smuggled").request()
}

/// One answer, if any, and not a good one; nothing on the queue; others are served. (What is no request at all
/// behind a refused one, the server itself may answer with a bare 400.)
async fn refused(ingest: &Ingest, request: &[u8]) {
    let shown = String::from_utf8_lossy(request).into_owned();
    let mut connection = ingest.connect().await;
    connection.write(request).await;
    let answers = connection.answers().await;
    assert!(answers.iter().all(|answer| (400..500).contains(&answer.status)), "{answers:?} to {shown}");
    let bare = |answer: &Answer| answer.status == 400 && answer.body.is_empty();
    assert!(answers.iter().skip(1).all(bare), "{answers:?} to {shown}");
    assert_eq!(ingest.send(&webhook("honest").request()).await.status, 200);
    assert_eq!(ingest.broker.take().await.id, "honest", "{shown}");
    assert!(ingest.broker.is_empty().await, "{shown}");
}

#[rstest]
#[case::length_and_chunks("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::chunks_and_length("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n")]
#[case::no_length_and_chunks("content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::two_codings("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::two_other_codings("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::chunked_and_identity("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n")]
#[case::identity_and_chunked("transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n")]
#[case::identity_alone("transfer-encoding: identity\r\n\r\n")]
#[case::identity_and_length("transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n{}")]
#[case::unknown_coding("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n")]
#[case::gzip_and_chunked("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n")]
#[case::quoted_coding("transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n")]
#[case::coding_behind_a_tab_name("transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n")]
#[case::space_before_the_colon("content-length : 2\r\n\r\n{}")]
#[case::space_before_the_name(" content-length: 2\r\n\r\n{}")]
#[case::folded_line("x-a: b\r\n content-length: 2\r\n\r\n{}")]
#[case::folded_coding("transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n")]
#[case::two_lengths("content-length: 2\r\ncontent-length: 3\r\n\r\n{}x")]
#[case::the_same_length_twice("content-length: 2\r\ncontent-length: 2\r\n\r\n{}")]
#[case::lengths_in_a_list("content-length: 2, 2\r\n\r\n{}")]
#[case::signed_length("content-length: +2\r\n\r\n{}")]
#[case::negative_length("content-length: -2\r\n\r\n{}")]
#[case::hexadecimal_length("content-length: 0x2\r\n\r\n{}")]
#[case::empty_length("content-length:\r\n\r\n")]
#[case::length_beyond_u64("content-length: 18446744073709551618\r\n\r\n{}")]
#[case::nul_in_a_value("content-length: 2\r\nx-a: b\0c\r\n\r\n{}")]
#[case::bare_cr_in_a_value("content-length: 2\r\nx-a: b\rc\r\n\r\n{}")]
#[case::bare_cr_for_lines("content-length: 2\rx-a: b\r\r{}")]
#[case::no_colon("content-length: 2\r\nx-a\r\n\r\n{}")]
#[case::two_hosts("host: other\r\ncontent-length: 2\r\n\r\n{}")]
#[case::chunk_size_signed("transfer-encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n")]
#[case::chunk_size_with_prefix("transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n")]
#[case::chunk_size_too_large("transfer-encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n")]
#[case::chunk_without_its_end("transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n")]
#[case::chunk_with_bare_lf("transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n")]
#[case::chunk_extension_with_lf("transfer-encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n")]
#[tokio::test]
async fn an_ambiguous_body_ends_the_connection(#[case] framing: &str) {
    run("", async |ingest| {
        let head = webhook("ambiguous").head();
        refused(ingest, &[format!("{head}{framing}").into_bytes(), smuggled()].concat()).await;
    })
    .await;
}

#[rstest]
#[case::old_version_with_chunks("HTTP/1.0", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::old_version_with_both("HTTP/1.0", "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}")]
#[case::old_version_without_a_length("HTTP/1.0", "\r\n")]
#[case::no_version("", "content-length: 2\r\n\r\n{}")]
#[case::version_of_old("HTTP/0.9", "content-length: 2\r\n\r\n{}")]
#[case::version_to_come("HTTP/2.0", "content-length: 2\r\n\r\n{}")]
#[case::no_such_version("HTTP/1.2", "content-length: 2\r\n\r\n{}")]
#[case::lower_case("http/1.1", "content-length: 2\r\n\r\n{}")]
#[tokio::test]
async fn another_version_ends_the_connection(#[case] version: &str, #[case] framing: &str) {
    run("", async |ingest| {
        let head = webhook("ambiguous").head().replacen("HTTP/1.1", version, 1);
        refused(ingest, &[format!("{head}{framing}").into_bytes(), smuggled()].concat()).await;
    })
    .await;
}

/// A request that asks for another protocol has a body without end for the server; it never comes to one.
#[rstest]
#[case::websocket("upgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\n{}")]
#[case::websocket_unasked("upgrade: websocket\r\ncontent-length: 2\r\n\r\n{}")]
#[case::http2(
    "upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\nconnection: upgrade, http2-settings\r\ncontent-length: 2\r\n\r\n{"
)]
#[tokio::test]
async fn no_other_protocol_is_spoken(#[case] framing: &str) {
    run("[ingest]\nbody_timeout_ms = 400\n", async |ingest| {
        let head = webhook("ambiguous").head();
        refused(ingest, &[format!("{head}{framing}").into_bytes(), smuggled()].concat()).await;
        refused(ingest, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), smuggled()].concat()).await;
        refused(ingest, &[b"CONNECT t:443 HTTP/1.1\r\nhost: t:443\r\n\r\n".to_vec(), smuggled()].concat()).await;
    })
    .await;
}

/// A line may end with a bare LF (RFC 9112, 2.2), and so may a head. What follows is the body that the head
/// announces, to the byte, and what was hidden behind a line that is none for others stays unanswered.
#[tokio::test]
async fn bare_line_feeds_hide_no_request() {
    run("", async |ingest| {
        let hidden = String::from_utf8(smuggled()).unwrap();
        for head in ["GET / HTTP/1.1\r\nhost: t\r\nx-a: b\n\n", "POST /webhooks/nobody HTTP/1.1\nhost: t\n\n"] {
            refused(ingest, format!("{head}{hidden}").as_bytes()).await;
        }
        let forged = webhook("forged").without("x-signature-256").head();
        refused(ingest, format!("{forged}x-a: b\ncontent-length: 2\n\n{{}}{hidden}").as_bytes()).await;
    })
    .await;
}

/// A lying length: too short, and the rest is no request; too long, and the next request is taken for body.
#[tokio::test]
async fn a_lying_length_yields_no_second_request() {
    run("[ingest]\nbody_timeout_ms = 400\n", async |ingest| {
        let head = webhook("ambiguous").head();
        refused(ingest, format!("{head}content-length: 1\r\n\r\n{{}}").as_bytes()).await;
        refused(ingest, &[format!("{head}content-length: 3\r\n\r\n{{}}").into_bytes(), smuggled()].concat()).await;
        refused(ingest, &[format!("{head}content-length: 60000\r\n\r\n{{}}").into_bytes(), smuggled()].concat()).await;
    })
    .await;
}
