//! What the body of a request may hold, written beside the handler that reads it.
//!
//! The schemas follow [`Fields`](crate::api::deis::body::Fields): a text may be given as a whole number, nothing may be
//! null, a map may be text that holds it as JSON, and fields that nobody knows are not looked at.

use regex::Regex;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

pub(in crate::api::deis) use crate::api::openapi::raw;

/// One line of any characters but NUL, which no text of this API may hold.
pub(in crate::api::deis) const ANY_TEXT: &str = r"^[^\u0000]*$";

/// An app's name, [`AppName`](crate::model::AppName).
pub(in crate::api::deis) const APP_NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// A user's name, [`Username`](crate::model::Username).
pub(in crate::api::deis) const USERNAME: &str = "^[A-Za-z0-9@.+_-]+$";

/// What the name of an environment value looks like.
pub(in crate::api::deis) const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// A domain, [`DomainName`](crate::model::DomainName); of a last label that begins with a digit some more are taken.
pub(in crate::api::deis) const DOMAIN: &str =
    r"^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$";
/// A log drain, [`DrainUrl`](crate::model::DrainUrl); some more hosts are taken.
pub(in crate::api::deis) const DRAIN_URL: &str = r"^(syslog(\+tls)?://[a-z0-9.-]+(:[1-9][0-9]{0,3})?|https?://([A-Za-z0-9._~%:-]+@)?[A-Za-z0-9.-]+(:[1-9][0-9]{0,3})?(/[A-Za-z0-9/_.-]*)?(\?[A-Za-z0-9=&_.-]*)?)$";

/// A name of a certificate, [`CertificateName`](crate::model::CertificateName).
pub(in crate::api::deis) const CERTIFICATE_NAME: &str =
    r"^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$";

/// A process type, [`ProcessType`](crate::model::ProcessType).
pub(in crate::api::deis) const PROCESS_TYPE: &str = "^[A-Za-z0-9_-]{1,63}$";

/// A string in JSON, as a regular expression; escapes by number are left out.
const JSON_STRING: &str = r#""([^"\\\u0000-\u001F]|\\["\\/bfnrt])*""#;

/// Declares the body of a request: a name for the document and its fields.
macro_rules! body {
    ($(#[$doc:meta])* $name:ident: $($field:expr),+ $(,)?) => {
        $(#[$doc])*
        pub(super) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::api::deis::openapi::fields::object([$($field),+])
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}
pub(in crate::api::deis) use body;

/// One field of a body.
pub(in crate::api::deis) struct Field {
    name: &'static str,
    is_required: bool,
    schema: Map<String, Value>,
}

/// Text that may be left out and may be empty.
pub(in crate::api::deis) fn text(name: &'static str) -> Field {
    Field::new(name, json!({"type": "string", "pattern": ANY_TEXT}))
}

/// A whole number, or text of its digits.
pub(in crate::api::deis) fn whole_number(name: &'static str) -> Field {
    let digits = json!({"type": "string", "pattern": "^[+-]?[0-9]{1,18}$"});
    let number = json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX});
    Field::new(name, json!({"anyOf": [number, digits]}))
}

/// A switch: a boolean, or text that spells one.
pub(in crate::api::deis) fn flag(name: &'static str) -> Field {
    let text = json!({"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[01])$"});
    Field::new(name, json!({"anyOf": [{"type": "boolean"}, text]}))
}

/// What the members of a map look like, in JSON and as regular expressions in text that holds JSON.
pub(in crate::api::deis) struct Member {
    /// Regular expression of names.
    pub name: &'static str,
    /// Schema of values.
    pub value: Value,
    /// Regular expression of values as JSON text.
    pub text: String,
    /// Whether null is taken under any name, since nothing is removed.
    pub is_null_anywhere: bool,
}

impl Member {
    /// Environment values; null removes one.
    pub(in crate::api::deis) fn config_value() -> Self {
        let value = json!({"type": ["string", "number", "boolean", "null"], "pattern": ANY_TEXT});
        let number = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?";
        let text = format!("{JSON_STRING}|{number}|true|false|null");
        Self { name: ENV_NAME, value, text, is_null_anywhere: true }
    }

    /// Commands.
    pub(in crate::api::deis) fn command() -> Self {
        let value = json!({"type": "string", "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"});
        let text = r#""[^"\\\u0000-\u0020]([^"\\\u0000-\u001F])*""#.to_owned();
        Self { name: PROCESS_TYPE, value, text, is_null_anywhere: false }
    }
}

/// A map, or text that holds one as JSON.
pub(in crate::api::deis) fn map(name: &'static str, member: &Member) -> Field {
    let Member { name: names, value, text, is_null_anywhere } = member;
    let object = if *is_null_anywhere {
        json!({"type": "object", "patternProperties": {*names: value}, "additionalProperties": {"type": "null"}})
    } else {
        json!({"type": "object", "propertyNames": {"pattern": names}, "additionalProperties": value})
    };
    let names = names.trim_start_matches('^').trim_end_matches('$');
    let one = format!(r#""{names}" *: *({text})"#);
    let pattern = format!(r"^ *\{{ *({one}( *, *{one})*)? *\}} *$");
    let text = json!({"type": "string", "contentMediaType": "application/json", "pattern": pattern});
    Field::new(name, json!({"anyOf": [object, text]}))
}

impl Field {
    /// A field of this schema.
    pub(in crate::api::deis) fn new(name: &'static str, schema: Value) -> Self {
        let Value::Object(schema) = schema else { panic!("the schema of {name} is an object") };
        Self { name, is_required: false, schema }
    }

    /// It has to be there, and text of it may not be empty.
    pub(in crate::api::deis) fn required(mut self) -> Self {
        self.is_required = true;
        self.not_blank()
    }

    /// It has to be there, and may be empty.
    pub(in crate::api::deis) fn needed(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// It may be left out, but not be empty.
    pub(in crate::api::deis) fn not_blank(self) -> Self {
        let is_text = self.schema.get("type") == Some(&json!("string"));
        if is_text { self.with("minLength", 1) } else { self }
    }

    /// Most characters.
    pub(in crate::api::deis) fn max(self, characters: usize) -> Self {
        self.with("maxLength", characters)
    }

    /// The regular expression that all of the text matches.
    pub(in crate::api::deis) fn pattern(self, pattern: &str) -> Self {
        self.with("pattern", pattern)
    }

    /// What it is for, in a sentence.
    pub(in crate::api::deis) fn says(self, sentence: &str) -> Self {
        self.with("description", sentence)
    }

    /// A value that one could send.
    pub(in crate::api::deis) fn example(self, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.with("examples", json!([value]))
    }

    fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.schema.insert(keyword.to_owned(), value.into());
        self
    }

    /// Whole numbers count as their digits wherever the rules of the text let those pass.
    fn finish(mut self) -> Value {
        let pattern = self.schema.get("pattern").and_then(Value::as_str).map(|text| text.replace(r"\u0000", r"\x00"));
        let admits = |pattern: &str| Regex::new(pattern).is_ok_and(|rule| rule.is_match(&u64::MAX.to_string()));
        let is_text = self.schema.get("type") == Some(&json!("string"));
        if is_text && self.schema.get("format").is_none() && pattern.as_deref().is_none_or(admits) {
            self.schema.insert("type".to_owned(), json!(["string", "integer"]));
            self.schema.insert("minimum".to_owned(), json!(0));
            self.schema.insert("maximum".to_owned(), json!(u64::MAX));
        }
        Value::Object(self.schema)
    }
}

/// The schema of a body of these fields, with an example of those that have one.
pub(in crate::api::deis) fn object(fields: impl IntoIterator<Item = Field>) -> RefOr<Schema> {
    let (mut properties, mut required, mut example) = (Map::new(), Vec::new(), Map::new());
    let mut order = Vec::new();
    for field in fields {
        order.push(field.name);
        if field.is_required {
            required.push(field.name);
        }
        if let Some(value) = field.schema.get("examples").and_then(|examples| examples.get(0)) {
            example.insert(field.name.to_owned(), value.clone());
        }
        properties.insert(field.name.to_owned(), field.finish());
    }
    let mut schema = json!({"type": "object", "properties": properties, "examples": [example], "x-order": order});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    raw(schema)
}
