//! Identifiers: one type per noun, so that mixing two of them does not compile.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The text is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a valid {kind} id")]
pub struct InvalidId {
    /// What kind of id was expected.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random id.
            #[expect(clippy::new_without_default, reason = "a random value is no default")]
            pub fn new() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { kind: $kind, text: text.to_owned() })
            }
        }
    )*};
}

uuid_ids! {
    /// Names an account.
    UserId = "user";
    /// Names a registered SSH key.
    SshKeyId = "ssh key";
    /// Names an app for its whole life; a destroyed app's name may be taken again, its id never is.
    AppId = "app";
    /// Names one attempt to turn source into an image.
    BuildId = "build";
    /// Names an uploaded certificate.
    CertificateId = "certificate";
    /// Names an immutable snapshot of config.
    ConfigId = "config";
    /// Names a release; people see its version instead.
    ReleaseId = "release";
    /// Names a push that an operator's own builder reported.
    PushId = "push";
    /// Names a log drain.
    LogDrainId = "log drain";
    /// Names a process group: one process type of one app, for as long as it is known of.
    GroupId = "process group";
    /// Names one wanted container. Its engine container carries it as a label.
    InstanceId = "instance";
}

/// Names an operation: 24 lower-case hex digits, the only form that tsuru clients decode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(String);

impl OperationId {
    /// A fresh id: the first 24 hex digits of a random UUID.
    #[expect(clippy::new_without_default, reason = "a random value is no default")]
    pub fn new() -> Self {
        let mut text = Uuid::new_v4().simple().to_string();
        text.truncate(24);
        Self(text)
    }

    /// The 24 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OperationId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = text.len() == 24 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidId { kind: "operation", text: text.to_owned() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_refuse_other_text() {
        let id = AppId::new();
        assert_eq!(id.to_string().parse::<AppId>(), Ok(id));
        assert!("x".parse::<AppId>().is_err());
        let operation = OperationId::new();
        assert_eq!(operation.to_string().parse::<OperationId>(), Ok(operation));
        assert!("ABCDEF0123456789abcdef01".parse::<OperationId>().is_err());
        assert!("abc".parse::<OperationId>().is_err());
    }
}
