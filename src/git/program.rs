//! The real git, for what libgit2 cannot do, away from anybody's configuration.

use std::ffi::{OsStr, OsString};

/// The program, found on the `PATH`.
pub(super) const GIT: &str = "git";

/// Environment of every run: nobody's configuration, English, no questions. The rest of the server's own stays out.
pub(super) fn environment() -> Vec<(&'static str, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let fixed = [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C.UTF-8"),
    ];
    let fixed = fixed.map(|(name, value)| (name, OsStr::new(value).to_owned()));
    std::iter::once(("PATH", path)).chain(fixed).collect()
}
