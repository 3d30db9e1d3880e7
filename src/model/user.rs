//! People and the keys that prove who they are.

use std::fmt;
use std::str::FromStr;

use super::build::words;
use super::{SshKeyId, Timestamp, UserId};

/// Longest user name, as Deis has it.
pub const USERNAME_MAX: usize = 30;

/// A user name: 1 to 30 characters of `[A-Za-z0-9_.@+-]`, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

/// Why a text is not a user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    /// No characters at all.
    #[error("a user name may not be blank")]
    Blank,
    /// More than [`USERNAME_MAX`] characters.
    #[error("a user name has no more than 30 characters")]
    TooLong,
    /// A character that is not allowed.
    #[error("a user name contains only letters, digits and @ . + - _")]
    Alphabet,
}

impl Username {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = InvalidUsername;
    fn from_str(text: &str) -> Result<Self, InvalidUsername> {
        if text.is_empty() {
            return Err(InvalidUsername::Blank);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"@.+-_".contains(&b)) {
            return Err(InvalidUsername::Alphabet);
        }
        if text.len() > USERNAME_MAX {
            return Err(InvalidUsername::TooLong);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may register an account. The first user is always let in, and becomes the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Administrators register others.
    AdminOnly,
    /// Nobody.
    Closed,
}

words!(Registration, "way to register", Open = "open", AdminOnly = "admin-only", Closed = "closed");

/// An account. Its password hash stays in the store.
#[derive(Debug, Clone)]
pub struct User {
    /// Stable identity.
    pub id: UserId,
    /// Small number in order of registration; Deis 1.0 clients see it as `id`.
    pub number: i64,
    /// Login name.
    pub username: Username,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// Administrators may do everything to every app.
    pub is_superuser: bool,
    /// An inactive account can neither log in nor push.
    pub is_active: bool,
    /// How often access was taken from whoever was signed in. Sessions and tokens belong to one epoch.
    pub epoch: i64,
    /// When it registered.
    pub created_at: Timestamp,
    /// When it last logged in.
    pub last_login_at: Timestamp,
}

/// A public key that a person registered; it alone decides who pushes.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// Stable identity.
    pub id: SshKeyId,
    /// Whose key it is.
    pub user_id: UserId,
    /// The owner's name, for display.
    pub owner: Username,
    /// What the owner calls it (`me@laptop`); unique per owner.
    pub name: String,
    /// The OpenSSH line as it was given, trimmed.
    pub public: String,
    /// `SHA256:...` of the key blob; unique on the server, whatever the comment.
    pub fingerprint: String,
    /// When it was added.
    pub created_at: Timestamp,
}
