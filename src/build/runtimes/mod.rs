//! Runtimes: which version of its language an app asks for, and how it gets that.

mod choose;
mod lines;
mod ranges;
mod version;
mod wishes;

use std::fmt;

pub(super) use version::{Requirement, Version};

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
