//! Config vars that steer the platform itself: one place says whether a value makes sense.

use super::{container_vars, health, strategy};

/// What is wrong with a config var that steers the platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is '{value}': {expected}")]
pub struct InvalidSetting {
    /// The config var.
    pub name: String,
    /// Its value; these are no secrets.
    pub value: String,
    /// What to give instead.
    pub expected: String,
}

impl InvalidSetting {
    pub(crate) fn new(name: &str, value: &str, expected: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: shortened(value), expected: expected.into() }
    }
}

/// Whether a config var of that name may have that value; any value may be given to those that steer nothing.
///
/// # Errors
/// [`InvalidSetting`] says what to give instead.
pub fn check_var(name: &str, value: &str) -> Result<(), InvalidSetting> {
    container_vars::check_var(name, value)?;
    health::check_var(name, value)?;
    strategy::check_var(name, value)
}

/// The beginning of a text, for messages.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
