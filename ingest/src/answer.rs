//! What an accepted webhook is answered: the same bytes each time it is sent, so that a provider (and a test)
//! can't tell a duplicate from the first.

use actix_web::HttpResponse;

/// `{"status":"accepted","id":"…"}`, to the byte.
pub(crate) fn accepted(id: &str) -> HttpResponse {
    // A JSON string always can be written; the id is printable ASCII.
    let id = serde_json::Value::from(id);
    HttpResponse::Ok().content_type("application/json").body(format!("{{\"status\":\"accepted\",\"id\":{id}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody as _;

    #[test]
    fn the_answer_is_this_to_the_byte() {
        let body = |id: &str| accepted(id).into_body().try_into_bytes().unwrap();
        assert_eq!(body("msg_1"), r#"{"status":"accepted","id":"msg_1"}"#);
        assert_eq!(body(r#"a"b\c"#), r#"{"status":"accepted","id":"a\"b\\c"}"#);
    }
}
