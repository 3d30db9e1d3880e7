//! `.gitmodules`: where a tree's submodules come from.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::GitError;
use super::names::shown;
use super::program::{GIT, environment};

/// The file, at the root of a tree.
pub(super) const GITMODULES: &str = ".gitmodules";
/// How long git may take to read it.
const LIMIT: Duration = Duration::from_secs(20);

/// What a `.gitmodules` says of one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) url: Option<String>,
    /// `update = none`: git leaves this one out of a checkout.
    pub(super) is_left_out: bool,
}

/// Reads a `.gitmodules` by git's own parser; yields what it says of each path.
///
/// Cancel-safe. A file that it includes is not read: that would be one of this server.
///
/// # Errors
/// [`GitError::Refused`] names the line that cannot be read.
pub(super) async fn parse(text: &[u8]) -> Result<BTreeMap<Vec<u8>, Mapping>, GitError> {
    let failed = |error| GitError::io("run 'git config' on", GITMODULES.as_ref())(error);
    let mut command = Command::new(GIT);
    command.env_clear().envs(environment()).kill_on_drop(true);
    command.args(["config", "--file", "-", "--no-includes", "--null", "--list"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut input = child.stdin.take().expect("it is piped");
    let write = async {
        // Where it stops to read, its status tells why.
        let _ = input.write_all(text).await;
        drop(input);
    };
    let run = async { tokio::join!(write, child.wait_with_output()).1 };
    let output = tokio::time::timeout(LIMIT, run).await;
    let output = output.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let fault = said.lines().next().unwrap_or_default().trim_start_matches("fatal: ");
        return Err(GitError::Refused(format!(
            "{GITMODULES} cannot be read ({}): correct it, commit and push again.",
            shown(fault.as_bytes())
        )));
    }
    Ok(mappings(&output.stdout))
}

/// `submodule.NAME.KEY\nVALUE\0`, the name possibly with dots in it; a key without a value has no line end.
fn mappings(listed: &[u8]) -> BTreeMap<Vec<u8>, Mapping> {
    let mut modules: BTreeMap<Vec<u8>, (Option<Vec<u8>>, Mapping)> = BTreeMap::new();
    for record in listed.split(|byte| *byte == 0) {
        let mut parts = record.splitn(2, |byte| *byte == b'\n');
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
        let Some(key) = key.strip_prefix(b"submodule.") else { continue };
        let Some(dot) = key.iter().rposition(|byte| *byte == b'.') else { continue };
        let (path, mapping) = modules.entry(key[..dot].to_vec()).or_default();
        match &key[dot + 1..] {
            b"path" => *path = Some(value.strip_suffix(b"/").unwrap_or(value).to_vec()),
            b"url" => mapping.url = Some(String::from_utf8_lossy(value).into_owned()),
            b"update" => mapping.is_left_out = value == b"none",
            _ => {}
        }
    }
    modules.into_values().filter_map(|(path, mapping)| Some((path?, mapping))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paths_are_mapped_as_git_reads_them() {
        let text = "# x\n[submodule \"a.b\"]\n\tpath = vendor/a\n\turl = https://example.com/a.git\n\
                    [submodule \"c\"]\n  url=\"https://example.com/c d\" ; x\n  path = c/\n  update = none\n\
                    [submodule \"no path\"]\n url = x\n[submodule \"no url\"]\n path = d\n[include]\n path = /etc/passwd\n";
        let found = parse(text.as_bytes()).await.unwrap();
        let mapping = |url: &str, is_left_out| Mapping { url: Some(url.to_owned()), is_left_out };
        assert_eq!(found.len(), 3);
        assert_eq!(found[&b"vendor/a"[..]], mapping("https://example.com/a.git", false));
        assert_eq!(found[&b"c"[..]], mapping("https://example.com/c d", true));
        assert_eq!(found[&b"d"[..]], Mapping::default());
        assert!(parse(b"").await.unwrap().is_empty());
        let error = parse(b"[submodule \"a\"]\nx y z\n[").await.unwrap_err().to_string();
        assert!(error.contains(".gitmodules cannot be read") && error.contains("line 2"), "{error}");
    }
}
