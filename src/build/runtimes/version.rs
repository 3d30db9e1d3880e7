//! Versions, and what may be asked of one.

use std::cmp::Ordering;
use std::fmt;

/// Longest version or requirement that is read, in bytes; those of people have a few dozen.
pub(super) const TEXT_MAX: usize = 200;

/// A version as a tool's publisher writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Version {
    text: String,
    /// Who built it, where several do (`temurin` of `temurin-21.0.5`); empty elsewhere.
    vendor: String,
    numbers: Vec<u64>,
    /// What follows the numbers of one that is not finished (`rc1`); empty for one that is.
    pre: String,
}

impl Version {
    /// Reads `20.11.1`, `v20`, `3.14.0rc1`, `1.22`, `temurin-21.0.5+11.0.LTS`. `None` for anything else: a name of a channel, a
    /// path, an option.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
        if text.len() > TEXT_MAX || !text.chars().all(is_plain) {
            return None;
        }
        let (vendor, rest) = match text.find("-").filter(|_| text.starts_with(|c: char| c.is_ascii_lowercase())) {
            Some(_) => {
                let digit =
                    text.find("-0").into_iter().chain((1..=9).filter_map(|n| text.find(&format!("-{n}")))).min()?;
                (&text[..digit], &text[digit + 1..])
            }
            None => ("", text.strip_prefix('v').unwrap_or(text)),
        };
        let (numbers, rest) = leading_numbers(rest)?;
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let pre =
            if rest.starts_with('+') { "" } else { rest.trim_start_matches(['-', '.', '_']).split('+').next()? };
        let (text, vendor) = (text.strip_prefix('v').filter(|_| vendor.is_empty()).unwrap_or(text), vendor.to_owned());
        Some(Self { text: text.to_owned(), vendor, numbers, pre: pre.to_owned() })
    }

    /// Who built it; empty where that is no question.
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// Its numbers, at least one.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// Whether it is finished, and no release candidate or the like.
    pub fn is_final(&self) -> bool {
        self.pre.is_empty()
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn compare(&self, other: &Self) -> Ordering {
        compare(&self.numbers, &other.numbers).then_with(|| match (self.is_final(), other.is_final()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre.cmp(&other.pre),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other).then_with(|| self.text.cmp(&other.text))
    }
}

/// Compares number by number; one that is missing is 0.
fn compare(one: &[u64], other: &[u64]) -> Ordering {
    let length = one.len().max(other.len());
    let at = |numbers: &[u64], index: usize| numbers.get(index).copied().unwrap_or_default();
    (0..length)
        .map(|index| at(one, index).cmp(&at(other, index)))
        .find(|found| found.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Splits off `1.22.3`; `None` when there is no number, or one that no version has.
pub(super) fn leading_numbers(text: &str) -> Option<(Vec<u64>, &str)> {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        numbers.push(rest[..end].parse().ok().filter(|number| *number <= u64::from(u32::MAX))?);
        rest = &rest[end..];
        match rest.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => return Some((numbers, rest)),
        }
    }
}

/// One condition on a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    AtLeast(Vec<u64>),
    Above(Vec<u64>),
    AtMost(Vec<u64>),
    Below(Vec<u64>),
    /// Begins with these numbers.
    Within(Vec<u64>),
    /// Does not.
    Outside(Vec<u64>),
    /// Is this one, finished or not.
    Exactly(Version),
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        let numbers = version.numbers();
        let is_within = |prefix: &Vec<u64>| {
            (0..prefix.len()).all(|index| numbers.get(index).copied().unwrap_or_default() == prefix[index])
        };
        match self {
            Self::AtLeast(bound) => compare(numbers, bound).is_ge(),
            Self::Above(bound) => compare(numbers, bound).is_gt(),
            Self::AtMost(bound) => compare(numbers, bound).is_le(),
            Self::Below(bound) => compare(numbers, bound).is_lt(),
            Self::Within(prefix) => is_within(prefix),
            Self::Outside(prefix) => !is_within(prefix),
            Self::Exactly(wanted) => wanted.compare(version).is_eq(),
        }
    }
}

/// Which of the versions that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// The newest of the newest line that has settled.
    Settled,
    /// The newest of the newest line with long-term support.
    LongTerm,
    /// The newest of all.
    Newest,
}

/// What is asked of a version: all bounds of one alternative at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) alternatives: Vec<Vec<Bound>>,
    pub(super) pick: Pick,
    /// Who has to have built it; empty where it says nothing of that.
    pub(super) vendor: String,
}

impl Requirement {
    /// Any version, chosen by `pick`.
    pub(super) fn any(pick: Pick) -> Self {
        Self { alternatives: vec![Vec::new()], pick, vendor: String::new() }
    }

    pub(super) fn of(alternatives: Vec<Vec<Bound>>) -> Self {
        Self { alternatives, pick: Pick::Settled, vendor: String::new() }
    }

    /// Whether it names one version, or the beginning of one, of the line of `version`, which is so many numbers long.
    pub(super) fn concerns_line(&self, version: &Version, length: usize) -> bool {
        let is_of_line = |bound: &Bound| match bound {
            Bound::Within(numbers) => numbers.len() >= length && version.numbers().starts_with(&numbers[..length]),
            _ => false,
        };
        self.vendor.is_empty() && self.alternatives.iter().any(|bounds| bounds.len() == 1 && is_of_line(&bounds[0]))
    }

    /// Whether it names one version, or the beginning of one, that is older than `version`.
    pub(super) fn is_older_than(&self, version: &Version) -> bool {
        let is_older =
            |bound: &Bound| matches!(bound, Bound::Within(numbers) if compare(numbers, version.numbers()).is_lt());
        self.alternatives.iter().any(|bounds| bounds.len() == 1 && is_older(&bounds[0]))
    }

    /// Whether a version is one that is asked for. One that is not finished is only when it is named.
    pub fn allows(&self, version: &Version) -> bool {
        let is_named = |bounds: &Vec<Bound>| bounds.iter().any(|bound| matches!(bound, Bound::Exactly(_)));
        self.alternatives
            .iter()
            .any(|bounds| (version.is_final() || is_named(bounds)) && bounds.iter().all(|bound| bound.holds(version)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_publishers_write_them() {
        let parts = |text: &str| Version::parse(text).map(|it| (it.vendor, it.numbers, it.pre));
        assert_eq!(parts("v20.11.1"), Some((String::new(), vec![20, 11, 1], String::new())));
        assert_eq!(parts("3.14.0rc1"), Some((String::new(), vec![3, 14, 0], "rc1".into())));
        assert_eq!(parts("1.22-rc.2"), Some((String::new(), vec![1, 22], "rc.2".into())));
        assert_eq!(parts("temurin-21.0.5+11.0.LTS"), Some(("temurin".into(), vec![21, 0, 5], String::new())));
        assert_eq!(
            parts("graalvm-community-21.0.2"),
            Some(("graalvm-community".into(), vec![21, 0, 2], String::new()))
        );
        for odd in
            ["", "latest", "stable", "-1", "../1", "1 2", "1;2", "$(id)", "1\n", "lts/*", "99999999999999999999", "é1"]
        {
            assert_eq!(parts(odd), None, "{odd:?}");
        }
        assert_eq!(parts(&"1".repeat(300)), None);
    }

    #[test]
    fn versions_are_in_their_order() {
        let of = |text| Version::parse(text).unwrap();
        assert!(of("3.10.0") > of("3.9.9") && of("3.14.0") > of("3.14.0rc1") && of("3.14.0b2") < of("3.14.0rc1"));
        assert!(of("1.22.0").compare(&of("1.22")).is_eq());
        assert_eq!(of("v20.1.0").to_string(), "20.1.0");
    }
}
