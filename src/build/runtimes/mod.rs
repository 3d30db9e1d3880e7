//! Runtimes: which version of its language an app asks for, and how it gets that.

mod choose;
mod detect;
mod installer;
mod lines;
mod ranges;
mod select;
mod stack_versions;
mod store;
mod version;
mod wishes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

pub(super) use installer::Errand;
pub use installer::RUNTIME_IMAGE_PREFIX;
pub use store::runtimes_label;
use version::{Requirement, Version};

/// A version of each language.
type Versions = BTreeMap<Tool, Version>;

/// What a builder knows of runtimes, and the turn of who installs one.
#[derive(Debug, Default)]
pub(super) struct Runtimes {
    installing: tokio::sync::Mutex<()>,
    listing: tokio::sync::Mutex<()>,
    listed: Mutex<BTreeMap<Tool, Listed>>,
    /// Of which image, and what that has.
    of_stack: Mutex<Option<(String, Versions)>>,
}

/// What somebody said of the versions that there are, or why nobody did, and when.
#[derive(Debug, Clone)]
struct Listed {
    at: Instant,
    versions: Result<Vec<Version>, String>,
}

/// A language whose version an app may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tool {
    Go,
    Java,
    Node,
    Php,
    Python,
    Ruby,
    Rust,
}

impl Tool {
    const ALL: [Self; 7] = [Self::Go, Self::Java, Self::Node, Self::Php, Self::Python, Self::Ruby, Self::Rust];

    /// What mise, the store and settings call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Java => "java",
            Self::Node => "node",
            Self::Php => "php",
            Self::Python => "python",
            Self::Ruby => "ruby",
            Self::Rust => "rust",
        }
    }

    /// The tool of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Whose builds are taken where nobody is named; empty where there is one publisher only.
    const fn vendor(self) -> &'static str {
        match self {
            Self::Java => "temurin",
            _ => "",
        }
    }

    /// Where its versions come from, for messages.
    const fn hosts(self) -> &'static str {
        match self {
            Self::Go => "dl.google.com",
            Self::Java => "mise-java.jdx.dev",
            Self::Node => "nodejs.org",
            Self::Php => "php.net",
            Self::Python | Self::Ruby => "github.com",
            Self::Rust => "static.rust-lang.org",
        }
    }

    /// A version to write, for messages.
    const fn example(self) -> &'static str {
        match self {
            Self::Go => "1.26",
            Self::Java => "21",
            Self::Node => "24.x",
            Self::Php => "^8.2",
            Self::Python => "3.13",
            Self::Ruby => "~> 3.4",
            Self::Rust => "stable",
        }
    }

    /// Whether nobody publishes it ready to run, so that the stack's own is to be preferred.
    const fn is_compiled(self) -> bool {
        matches!(self, Self::Php)
    }

    /// Whether its tool fetches the version that a tree asks for by itself, as `go` does from the module proxy.
    const fn finds_itself(self) -> bool {
        matches!(self, Self::Go)
    }

    fn is_same_line(self, one: &Version, other: &Version) -> bool {
        let line = |version: &Version| version.numbers().iter().take(self.line_length()).copied().collect::<Vec<_>>();
        line(one) == line(other)
    }

    /// Whether the stack's version may go on to be used for a requirement that it was used for before.
    fn can_use(self, version: &Version, requirement: &Requirement) -> bool {
        requirement.allows(version) || self.will_do(version, requirement) || self.finds_itself()
    }

    /// Whether the stack's version serves who asked for another one, where that cannot be had: another patch of the same Python
    /// or Java, and a newer Rust, which compiles what an older one does.
    fn will_do(self, version: &Version, requirement: &Requirement) -> bool {
        match self {
            Self::Python | Self::Java => requirement.concerns_line(version, self.line_length()),
            Self::Rust => requirement.is_older_than(version),
            _ => false,
        }
    }

    /// How many numbers name a release line.
    const fn line_length(self) -> usize {
        match self {
            Self::Java | Self::Node => 1,
            _ => 2,
        }
    }
}

impl fmt::Display for Tool {
    /// What people call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "Go",
            Self::Java => "Java",
            Self::Node => "Node.js",
            Self::Php => "PHP",
            Self::Python => "Python",
            Self::Ruby => "Ruby",
            Self::Rust => "Rust",
        })
    }
}
