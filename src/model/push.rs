//! Pushes that an operator's own builder received, and the key that it proves itself with.

use std::fmt;

use subtle::ConstantTimeEq;

use super::{PushId, Timestamp};

/// Shortest builder key.
pub const BUILDER_KEY_MIN: usize = 16;

/// The secret that an operator's own builder shares with Slipway.
#[derive(Clone, PartialEq, Eq)]
pub struct BuilderKey(String);

impl BuilderKey {
    /// The key of that text; `None` when it has fewer than [`BUILDER_KEY_MIN`] characters.
    pub fn new(text: &str) -> Option<Self> {
        (text.chars().count() >= BUILDER_KEY_MIN).then(|| Self(text.to_owned()))
    }

    /// Whether this is the key. The time it takes tells nothing but the length.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for BuilderKey {
    /// Prints no content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<builder key>")
    }
}

/// What a builder reports of a push that it received (Deis, spec §15).
#[derive(Debug, Clone)]
pub struct PushReport {
    /// The pushed commit.
    pub sha: String,
    /// The key that pushed.
    pub fingerprint: String,
    /// Who pushed.
    pub receive_user: String,
    /// To which app.
    pub receive_repo: String,
    /// `SSH_CONNECTION` of the session: addresses and ports.
    pub ssh_connection: String,
    /// What the pusher's git asked for.
    pub ssh_original_command: String,
}

/// A recorded push.
#[derive(Debug, Clone)]
pub struct ReportedPush {
    /// Stable identity.
    pub id: PushId,
    /// When it was reported.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_compared_whole_and_hides_from_debug() {
        let key = BuilderKey::new("0123456789abcdef").unwrap();
        assert!(key.is(b"0123456789abcdef"));
        assert!(!key.is(b"0123456789abcde") && !key.is(b"0123456789abcdeF") && !key.is(b""));
        assert!(!format!("{key:?}").contains("0123"));
        assert!(BuilderKey::new("short").is_none());
    }
}
