//! The one reader of request bodies: a JSON object, or nothing at all (spec §1.7-§1.9).

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::error::Error;
use crate::api::body::{self, Unread};

/// The members of a request's object; what was not given, and null, is not there. It has no `Debug`: passwords and
/// environments are among them.
#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    /// The members of an object within a body.
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The member as it came.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Text without NUL.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| Error::invalid(name, format!("{name} has to be text.")))?;
        if text.contains('\0') {
            return Err(Error::invalid(name, format!("{name} may not hold the character NUL.")));
        }
        Ok(Some(text))
    }

    /// A whole number within bounds, however it is written: `2` and `2.0` are one number in JSON.
    pub(super) fn number(&self, name: &'static str, least: u32, most: u32) -> Result<Option<u32>, Error> {
        let Some(value) = self.value(name) else { return Ok(None) };
        whole(value)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (least..=most).contains(number))
            .map(Some)
            .ok_or_else(|| Error::invalid(name, format!("{name} has to be a whole number from {least} to {most}.")))
    }

    /// True or false.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Error> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| Error::invalid(name, format!("{name} has to be true or false.")))
    }

    /// A list.
    pub(super) fn list(&self, name: &'static str) -> Result<Option<&[Value]>, Error> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| Error::invalid(name, format!("{name} has to be a list.")))?;
        Ok(Some(items))
    }
}

/// The number, if it is whole.
pub(super) fn whole(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the bounds before it leave nothing to cut")]
    let of_float = |float: f64| (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(of_float))
}

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = body::read(request, state).await.map_err(|unread| match unread {
            Unread::TooSlow => Error::TooSlow,
            Unread::TooLarge => Error::TooLarge,
            Unread::CutShort => Error::Unparsable("The body ended before its time.".to_owned()),
        })?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let full = content_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = full.split(';').next().unwrap_or(full).trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(Error::UnsupportedMediaType(full.to_owned()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Error::Unparsable("The body is JSON, but no object.".to_owned())),
            Err(error) => Err(Error::Unparsable(format!("The body is no JSON: {error}."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::json;

    use super::*;

    async fn read(content_type: &str, body: &str) -> Result<Value, Error> {
        let mut request = Request::builder();
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        Object::from_request(request, &()).await.map(|object| Value::Object(object.0))
    }

    #[tokio::test]
    async fn only_objects_are_read_and_nothing_is_an_empty_one() {
        for media in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
            assert_eq!(read(media, r#"{"a": 1}"#).await.unwrap(), json!({"a": 1}), "{media}");
        }
        for media in ["application/json", "text/plain", ""] {
            assert_eq!(read(media, "").await.unwrap(), json!({}), "{media:?}");
        }
        for media in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let error = read(media, "{}").await.unwrap_err();
            assert!(matches!(&error, Error::UnsupportedMediaType(named) if named == media), "{media:?}: {error:?}");
        }
        for body in ["{", "[1]", "5", "null", "\"a\"", " "] {
            let error = read("application/json", body).await.unwrap_err();
            assert!(matches!(&error, Error::Unparsable(_)), "{body}: {error:?}");
        }
    }

    #[test]
    fn members_and_their_types() {
        let Value::Object(members) = json!({
            "text": "x", "nul": "\0", "two": 2, "float": 2.0, "half": 2.5, "large": 1e300, "digits": "2", "no": false,
            "none": null, "list": [1],
        }) else {
            unreachable!()
        };
        let object = Object::new(members);
        assert_eq!(object.text("text").unwrap(), Some("x"));
        assert_eq!((object.text("none").unwrap(), object.text("missing").unwrap()), (None, None));
        assert!(object.text("nul").is_err() && object.text("two").is_err());
        for two in ["two", "float"] {
            assert_eq!(object.number(two, 0, 2).unwrap(), Some(2));
        }
        assert!(object.number("two", 0, 1).is_err() && object.number("two", 3, 9).is_err());
        for wrong in ["half", "large", "digits", "no", "list"] {
            assert!(object.number(wrong, 0, 100).is_err(), "{wrong}");
        }
        assert_eq!(object.flag("no").unwrap(), Some(false));
        assert!(object.flag("two").is_err());
        assert_eq!(object.list("list").unwrap().map(<[Value]>::len), Some(1));
        assert!(object.list("text").is_err());
    }
}
