//! What an accepted webhook is answered: the same bytes each time it is sent, so that a provider (and a test)
//! can't tell a duplicate from the first.
//!
//! A provider that wants an answer of its own has it in its file; else it is `{"status":"accepted","id":"…"}`.

use actix_web::HttpResponse;
use shared::provider::AnswerRule;
use shared::verification::Reply;

/// The answer to a webhook that is durable.
pub(crate) fn accepted(rule: &AnswerRule, id: &str) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    match (&rule.body, &rule.content_type) {
        (Some(body), Some(content_type)) => answer.content_type(content_type.as_str()).body(body.clone()),
        (Some(_empty), None) => answer.finish(),
        (None, _) => {
            // A JSON string always can be written; the id is printable ASCII.
            let id = serde_json::Value::from(id);
            answer.content_type("application/json").body(format!("{{\"status\":\"accepted\",\"id\":{id}}}"))
        }
    }
}

/// The answer to a handshake.
pub(crate) fn handshake(reply: Reply) -> HttpResponse {
    HttpResponse::Ok().content_type(reply.content_type).body(reply.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody as _;

    #[test]
    fn the_answer_is_this_to_the_byte() {
        let body = |id: &str| accepted(&AnswerRule::default(), id).into_body().try_into_bytes().unwrap();
        assert_eq!(body("msg_1"), r#"{"status":"accepted","id":"msg_1"}"#);
        assert_eq!(body(r#"a"b\c"#), r#"{"status":"accepted","id":"a\"b\\c"}"#);
    }

    #[test]
    fn a_providers_own_answer_goes_before() {
        let rule = AnswerRule { body: Some("[accepted]".to_owned()), content_type: Some("text/plain".to_owned()) };
        let answer = accepted(&rule, "1");
        assert_eq!(answer.headers().get("content-type").unwrap(), "text/plain");
        assert_eq!(answer.into_body().try_into_bytes().unwrap(), "[accepted]");
        let empty = accepted(&AnswerRule { body: Some(String::new()), content_type: None }, "1");
        assert!(!empty.headers().contains_key("content-type"));
        assert!(empty.into_body().try_into_bytes().unwrap().is_empty());
    }
}
