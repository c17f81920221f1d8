//! A form that acts: taken only from an operator, and only from a page of ours.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::Caller;
use crate::server::problem::Problem;

/// The field that repeats the session's token.
pub(crate) const CSRF_FIELD: &str = "csrf";
/// The largest form, in bytes: a selection of a thousand webhooks with long ids.
const MAX_FORM_BYTES: usize = 512 * 1024;

/// What an operator submitted.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) caller: Caller,
    fields: Vec<(String, String)>,
}

impl Submitted {
    /// A field's value, if it is there and not blank.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _value)| key == name).map(|(_key, value)| value.trim()).filter(|v| !v.is_empty())
    }

    /// All values of a field that may be there several times.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(key, _value)| key == name).map(|(_key, value)| value.as_str()).collect()
    }

    /// What is submitted to do what was only tried: the fields of these names, and that it is to be done. Nothing where
    /// it was done.
    pub(crate) fn again(&self, is_dry: bool, names: &[&str]) -> Vec<(String, String)> {
        if !is_dry {
            return Vec::new();
        }
        let kept = self.fields.iter().filter(|(name, _value)| names.contains(&name.as_str())).cloned();
        kept.chain([("run".to_owned(), "do".to_owned())]).collect()
    }

    async fn read(request: HttpRequest, mut payload: Payload) -> Result<Self, Problem> {
        let caller = Caller::from_request(&request, &mut payload).await?;
        let form = web::Bytes::from_request(&request, &mut payload);
        let form = form.await.map_err(|_broken| Problem::Malformed("the form did not arrive".to_owned()))?;
        if form.len() > MAX_FORM_BYTES {
            return Err(Problem::Malformed("the form is too large; select fewer".to_owned()));
        }
        let fields = web::Query::<Vec<(String, String)>>::from_query(&String::from_utf8_lossy(&form));
        let fields = fields.map_err(|_broken| Problem::Malformed("the form cannot be read".to_owned()))?.into_inner();
        let submitted = Self { caller, fields };
        submitted.caller.may_act(&request, submitted.field(CSRF_FIELD))?;
        Ok(submitted)
    }
}

impl FromRequest for Submitted {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Box::pin(Self::read(request.clone(), payload.take()))
    }
}
