//! Which references a push may move: one deploy branch at a time, and tags along with it.

use serde::{Deserialize, Serialize};

use super::backend::Rejected;

/// Branches whose pushes are deployed.
pub const DEPLOY_BRANCHES: [&str; 2] = ["main", "master"];

/// One line of git's pre-receive input: a reference and its two ends, 40 hex digits each; zeros mean "none".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Update {
    pub(super) old: String,
    pub(super) new: String,
    pub(super) name: String,
}

impl Update {
    /// Parses `old new name`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (old, rest) = line.split_once(' ')?;
        let (new, name) = rest.split_once(' ')?;
        Some(Self { old: old.to_owned(), new: new.to_owned(), name: name.to_owned() })
    }

    /// Where the reference stood; `None` when it is new.
    pub(super) fn old(&self) -> Option<&str> {
        (!is_zero(&self.old)).then_some(&self.old)
    }

    fn deploy_branch(&self) -> Option<&str> {
        self.name.strip_prefix("refs/heads/").filter(|branch| DEPLOY_BRANCHES.contains(branch))
    }

    fn tag(&self) -> Option<&str> {
        self.name.strip_prefix("refs/tags/")
    }
}

fn is_zero(oid: &str) -> bool {
    oid.bytes().all(|b| b == b'0')
}

/// The one update that is deployed, or one line that says what to type instead.
///
/// Tags come along with it and are kept: git sends them by itself with `push.followTags` (git-config(1)), and that is
/// often set for good.
pub(super) fn deployed(updates: &[Update]) -> Result<&Update, Rejected> {
    let (deployed, others): (Vec<&Update>, Vec<&Update>) =
        updates.iter().partition(|update| update.deploy_branch().is_some());
    let (tags, others): (Vec<&Update>, Vec<&Update>) = others.into_iter().partition(|other| other.tag().is_some());
    if let Some(other) = others.first() {
        return Err(Rejected::line(not_deployed(other, updates.len())));
    }
    match deployed[..] {
        [] if !tags.is_empty() => Err(Rejected::line(only_tags(&tags))),
        [] => Err(Rejected::line("This push carries no branch. Type: git push <remote> main")),
        [update] if is_zero(&update.new) => Err(Rejected::line(format!(
            "The deploy branch '{branch}' cannot be deleted. Destroy the app instead, or deploy something else. \
             Type: git push <remote> BRANCH:{branch}",
            branch = update.deploy_branch().unwrap_or_default()
        ))),
        [update] => Ok(update),
        _ => Err(Rejected::line("Only one of main and master can be deployed by a push. Type: git push <remote> main")),
    }
}

fn not_deployed(update: &Update, count: usize) -> String {
    let name = &update.name;
    if count > 1 {
        let more = count - 1;
        return format!(
            "Only main or master is deployed, one per push, not '{name}' and {more} more. Type: git push <remote> main"
        );
    }
    let source = match name.strip_prefix("refs/heads/") {
        Some(branch) => format!("{branch}:main"),
        None => format!("{}:refs/heads/main", update.new.get(..10).unwrap_or(&update.new)),
    };
    format!("Only main and master are deployed, not '{name}'. Type: git push <remote> {source}")
}

/// Tags alone deploy nothing. With `push.followTags` they are sent alone when the branch is there already.
fn only_tags(tags: &[&Update]) -> String {
    let count = tags.len();
    // One that is deleted stands for nothing.
    let named = tags.iter().find(|tag| !is_zero(&tag.new));
    let without = "git push --no-follow-tags <remote> main";
    let Some(update) = named else {
        return format!("This push only deletes tags, which deploys nothing. Type: {without}");
    };
    // `~0` is the commit that a tag, annotated or not, stands for; with such an expression on the left, git wants the
    // right side in full. A tag named like a branch comes of `git push <remote> TAG:main`: only its id is known here.
    let tag = update.tag().filter(|tag| !DEPLOY_BRANCHES.contains(tag));
    let source = format!("{}~0:refs/heads/main", tag.or(update.new.get(..10)).unwrap_or(&update.new));
    let what = if count == 1 { format!("'{}'", update.name) } else { format!("the {count} tags of this push") };
    format!(
        "Only main and master are deployed, not {what}: tags come along with one of them, and it brought nothing new. \
         Type: git push <remote> {source} (or, to send no tags: {without})"
    )
}

/// The refusal of an annotated tag on a branch, which git itself would refuse only after the deploy.
pub(super) fn tag_on_branch(update: &Update, commit: &str) -> Rejected {
    let short = update.new.get(..10).unwrap_or(&update.new);
    let commit = commit.get(..10).unwrap_or(commit);
    Rejected::line(format!(
        "{short} is an annotated tag, and a branch takes a commit. Type: git push <remote> {commit}:{}",
        update.name
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1234567890123456789012345678901234567890";

    fn update(new: &str, name: &str) -> Update {
        Update { old: ZERO.into(), new: new.into(), name: name.into() }
    }

    fn refusal(updates: &[Update]) -> String {
        deployed(updates).unwrap_err().lines.join("\n")
    }

    #[test]
    fn one_deploy_branch_is_taken() {
        for name in ["refs/heads/main", "refs/heads/master"] {
            assert_eq!(deployed(&[update(ONE, name)]), Ok(&update(ONE, name)));
        }
        assert_eq!(update(ONE, "x").old(), None);
        assert_eq!(Update::parse(&format!("{ONE} {ZERO} refs/heads/a b")).unwrap().old(), Some(ONE));
    }

    #[test]
    fn anything_else_is_refused_with_the_command_to_type() {
        let check = |updates: &[Update], expect: &str| assert_eq!(refusal(updates), expect);
        check(
            &[update(ONE, "refs/heads/dev")],
            "Only main and master are deployed, not 'refs/heads/dev'. Type: git push <remote> dev:main",
        );
        check(
            &[update(ONE, "refs/notes/commits")],
            "Only main and master are deployed, not 'refs/notes/commits'. Type: git push <remote> 1234567890:refs/heads/main",
        );
        check(
            &[update(ONE, "refs/heads/main"), update(ONE, "refs/heads/dev"), update(ONE, "refs/tags/v1")],
            "Only main or master is deployed, one per push, not 'refs/heads/dev' and 2 more. Type: git push <remote> main",
        );
        check(
            &[update(ONE, "refs/heads/main"), update(ONE, "refs/heads/master")],
            "Only one of main and master can be deployed by a push. Type: git push <remote> main",
        );
        check(
            &[update(ZERO, "refs/heads/main")],
            "The deploy branch 'main' cannot be deleted. Destroy the app instead, or deploy something else. \
             Type: git push <remote> BRANCH:main",
        );
        check(&[], "This push carries no branch. Type: git push <remote> main");
        assert_eq!(
            tag_on_branch(&update(ONE, "refs/heads/main"), &"ab".repeat(20)).lines,
            ["1234567890 is an annotated tag, and a branch takes a commit. \
              Type: git push <remote> ababababab:refs/heads/main"]
        );
    }

    #[test]
    fn tags_come_along_with_a_branch_and_deploy_nothing_alone() {
        let (main, tag) = (update(ONE, "refs/heads/main"), update(ONE, "refs/tags/v1"));
        assert_eq!(deployed(&[tag.clone(), main.clone(), update(ZERO, "refs/tags/old")]), Ok(&main));
        assert_eq!(deployed(&[update(ONE, "refs/tags/main"), main.clone()]), Ok(&main));
        let alone = |update: &[Update], not: &str, source: &str| {
            let expect = format!(
                "Only main and master are deployed, not {not}: tags come along with one of them, and it brought nothing \
                 new. Type: git push <remote> {source}:refs/heads/main (or, to send no tags: git push --no-follow-tags \
                 <remote> main)"
            );
            assert_eq!(refusal(update), expect);
        };
        alone(std::slice::from_ref(&tag), "'refs/tags/v1'", "v1~0");
        alone(&[tag.clone(), update(ONE, "refs/tags/v2")], "the 2 tags of this push", "v1~0");
        alone(&[update(ONE, "refs/tags/main")], "'refs/tags/main'", "1234567890~0");
        assert!(refusal(&[update(ZERO, "refs/tags/v1")]).starts_with("This push only deletes tags"));
        assert!(
            refusal(&[main.clone(), update(ONE, "refs/heads/master"), tag]).starts_with("Only one of main and master")
        );
    }

    proptest! {
        #[test]
        fn never_panics(names in proptest::collection::vec(("[0-9a-f]{0,12}", ".{0,30}"), 0..4)) {
            let updates: Vec<_> = names.iter().map(|(new, name)| update(new, name)).collect();
            match deployed(&updates) {
                Ok(update) => prop_assert!(update.deploy_branch().is_some()),
                Err(rejected) => prop_assert_eq!(rejected.lines.len(), 1),
            }
        }

        #[test]
        fn lines_never_panic(line in ".{0,60}") {
            let _ = Update::parse(&line);
        }
    }
}
