//! The one reader of request bodies: JSON, URL-encoded or multipart, as named fields (spec §1.2).

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Number, Value};

use super::error::{Error, FieldErrors};
use crate::api::body::{self, Unread};

/// One more than the greatest number that fits in 64 bits.
const MAX_DIGITS: f64 = 18_446_744_073_709_551_616.0;

/// The fields of a request. It has no `Debug`: passwords and config values are among them.
#[derive(Default)]
pub(super) struct Fields(Map<String, Value>);

/// What is wrong with one field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    name: &'static str,
    message: String,
}

impl Problem {
    pub(super) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::field(problem.name, problem.message)
    }
}

/// Gathers the problems of several fields, so that all are reported at once.
#[derive(Default)]
pub(super) struct Problems(FieldErrors);

impl Problems {
    /// Notes the problem, if there is one.
    pub(super) fn note<T>(&mut self, result: &Result<T, Problem>) {
        if let Err(Problem { name, message }) = result {
            self.0.entry(name).or_default().push(message.clone());
        }
    }

    /// The value, or the empty one after noting the problem.
    pub(super) fn noted<T: Default>(&mut self, result: Result<T, Problem>) -> T {
        self.note(&result);
        result.unwrap_or_default()
    }

    pub(super) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Fields(self.0)) }
    }
}

impl Fields {
    /// The field as it came.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All fields, for a body whose names are free.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// A text of 1 to `max` characters that has to be there. Whole numbers count as their digits.
    pub(super) fn required(&self, name: &'static str, max: usize) -> Result<String, Problem> {
        let text = self.optional(name, max)?.ok_or_else(|| Problem::new(name, "This field is required."))?;
        if text.is_empty() { Err(Problem::new(name, "This field may not be blank.")) } else { Ok(text) }
    }

    /// A text of at most `max` characters, maybe empty, if it is there.
    pub(super) fn optional(&self, name: &'static str, max: usize) -> Result<Option<String>, Problem> {
        let text = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Null) => return Err(Problem::new(name, "This field may not be null.")),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => digits(number).ok_or_else(|| Problem::new(name, "Not a valid string."))?,
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(Problem::new(name, "Not a valid string."));
            }
        };
        if text.contains('\0') {
            return Err(Problem::new(name, "Null characters are not allowed."));
        }
        if text.chars().count() > max {
            return Err(Problem::new(name, format!("Ensure this field has no more than {max} characters.")));
        }
        Ok(Some(text))
    }

    /// A switch: false when it is not there.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.0.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
            Some(_) => Err(Problem::new(name, "Must be a valid boolean.")),
        }
    }

    /// An object, or a text that holds one as JSON: that is how the deis clients send config.
    pub(super) fn map(&self, name: &'static str) -> Result<Option<Map<String, Value>>, Problem> {
        let not_a_map = || Problem::new(name, "This field must be a JSON object, or text that holds one.");
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Err(Problem::new(name, "This field may not be null.")),
            Some(Value::Object(map)) => Ok(Some(map.clone())),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| not_a_map()),
            Some(_) => Err(not_a_map()),
        }
    }
}

/// The digits of a whole number that is not negative, however it is written: `10`, `10.0` and `1e1` are one number in JSON.
pub(super) fn digits(number: &Number) -> Option<String> {
    match number.as_f64() {
        _ if number.is_u64() => Some(number.to_string()),
        Some(float) if float.fract() == 0.0 && (0.0..MAX_DIGITS).contains(&float) => {
            Some(format!("{:.0}", float.abs()))
        }
        _ => None,
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = body::read(request, state).await.map_err(|unread| match unread {
            Unread::TooSlow => Error::TooSlow,
            Unread::TooLarge => Error::TooLarge,
            Unread::CutShort => Error::Unparsable("The request body ended before its time.".to_owned()),
        })?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let full = content_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("application/json");
        let media = full.split(';').next().unwrap_or(full).trim().to_ascii_lowercase();
        match media.as_str() {
            "application/json" => json(&bytes),
            "application/x-www-form-urlencoded" => form(&bytes),
            "multipart/form-data" => multipart(full, bytes, state).await,
            _ => Err(Error::UnsupportedMediaType(full.to_owned())),
        }
        .map(Self)
    }
}

fn json(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let unparsable = |why: &str| Error::Unparsable(format!("JSON parse error - {why}"));
    match serde_json::from_slice(bytes).map_err(|error| unparsable(&error.to_string()))? {
        Value::Object(map) => Ok(map),
        _ => Err(unparsable("expected an object")),
    }
}

/// Of a name that is given twice the last value counts.
fn form(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|error| Error::Unparsable(format!("Form parse error - {error}")))?;
    Ok(pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}

async fn multipart<S: Send + Sync>(content_type: &str, bytes: Bytes, state: &S) -> Result<Map<String, Value>, Error> {
    let unparsable = |why: String| Error::Unparsable(format!("Multipart form parse error - {why}"));
    let request = Request::builder().header(CONTENT_TYPE, content_type).body(Body::from(bytes));
    let request = request.map_err(|error| unparsable(error.to_string()))?;
    let mut parts = Multipart::from_request(request, state).await.map_err(|error| unparsable(error.body_text()))?;
    let mut fields = Map::new();
    while let Some(part) = parts.next_field().await.map_err(|error| unparsable(error.body_text()))? {
        let name = part.name().unwrap_or_default().to_owned();
        let text = part.text().await.map_err(|error| unparsable(error.body_text()))?;
        fields.insert(name, Value::String(text));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn read(content_type: &str, body: &str) -> Result<Value, Error> {
        let mut request = Request::builder();
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        Fields::from_request(request, &()).await.map(|fields| Value::Object(fields.0))
    }

    fn fields(value: Value) -> Fields {
        let Value::Object(map) = value else { panic!("{value}") };
        Fields(map)
    }

    #[tokio::test]
    async fn three_types_are_read() {
        let check = async |content_type: &str, body: &str, expect: Value| {
            assert_eq!(read(content_type, body).await.unwrap(), expect, "{content_type} {body}");
        };
        check("application/json", r#"{"a": 1}"#, json!({"a": 1})).await;
        check("application/json; charset=utf-8", r#"{"a": "é"}"#, json!({"a": "é"})).await;
        check("Application/JSON", "{}", json!({})).await;
        check("", r#"{"a": 1}"#, json!({"a": 1})).await;
        check("application/x-www-form-urlencoded", "username=a%40b&password=x+y%2Bz", {
            json!({"username": "a@b", "password": "x y+z"})
        })
        .await;
        let body = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X--\r\n";
        check("multipart/form-data; boundary=X", body, json!({"a": "1"})).await;
        for any in ["application/json", "text/plain", ""] {
            check(any, "", json!({})).await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said() {
        let media = read("text/plain", "x").await.unwrap_err();
        assert!(matches!(media, Error::UnsupportedMediaType(media) if media == "text/plain"));
        for body in ["{", "[1]", "5", "null", "\"a\""] {
            let error = read("application/json", body).await.unwrap_err();
            assert!(matches!(&error, Error::Unparsable(text) if text.starts_with("JSON parse error - ")), "{body}");
        }
        let error = read("multipart/form-data", "x").await.unwrap_err();
        assert!(matches!(error, Error::Unparsable(_)), "{error:?}");
        let error = read("multipart/form-data; boundary=X", "--X\r\n").await.unwrap_err();
        assert!(matches!(error, Error::Unparsable(_)), "{error:?}");
    }

    #[test]
    fn texts_and_their_rules() {
        let fields = fields(
            json!({"a": "x", "n": 5, "w": 50.0, "f": 1.5, "neg": -5, "t": true, "b": "", "z": null, "o": {}, "long": "é".repeat(5), "nul": "\0"}),
        );
        let check = |name: &'static str, expect: Result<&str, &str>| {
            let found = fields.required(name, 4);
            assert_eq!(found, expect.map(str::to_owned).map_err(|message| Problem::new(name, message)));
        };
        check("a", Ok("x"));
        check("n", Ok("5"));
        check("w", Ok("50"));
        check("f", Err("Not a valid string."));
        check("neg", Err("Not a valid string."));
        check("t", Err("Not a valid string."));
        check("b", Err("This field may not be blank."));
        check("z", Err("This field may not be null."));
        check("missing", Err("This field is required."));
        check("o", Err("Not a valid string."));
        check("long", Err("Ensure this field has no more than 4 characters."));
        check("nul", Err("Null characters are not allowed."));
        assert_eq!(fields.optional("missing", 4), Ok(None));
        assert_eq!(fields.optional("b", 4), Ok(Some(String::new())));
    }

    #[test]
    fn maps_are_objects_or_text_that_holds_one() {
        let fields = fields(json!({"o": {"A": 1}, "t": "{\"A\": 1}", "z": null, "l": [1], "bad": "A=1", "tl": "[1]"}));
        let Value::Object(expect) = json!({"A": 1}) else { unreachable!() };
        assert_eq!(fields.map("o"), Ok(Some(expect.clone())));
        assert_eq!(fields.map("t"), Ok(Some(expect)), "as every deis client sends config");
        assert_eq!(fields.map("missing"), Ok(None));
        for name in ["z", "l", "bad", "tl"] {
            assert!(fields.map(name).is_err(), "{name}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let fields = fields(json!({"b": ""}));
        let mut problems = Problems::default();
        assert_eq!(problems.noted(fields.required("a", 9)), "");
        problems.noted(fields.required("b", 9));
        let Err(Error::Fields(errors)) = problems.into_result() else { panic!("two problems") };
        assert_eq!(errors.keys().collect::<Vec<_>>(), [&"a", &"b"]);
        assert!(Problems::default().into_result().is_ok());
    }
}
