//! Which of the versions that there are.

use std::cmp::Reverse;

use time::Date;

use super::Tool;
use super::lines;
use super::version::{Pick, Requirement, Version};

/// The version to use: the newest of the best line that the requirement allows. `None` when it allows none of them.
pub(super) fn choose<'a>(
    tool: Tool,
    requirement: &Requirement,
    available: impl IntoIterator<Item = &'a Version>,
    today: Date,
) -> Option<&'a Version> {
    let vendor = if requirement.vendor.is_empty() { tool.vendor() } else { &requirement.vendor };
    let fitting = available.into_iter().filter(|version| version.vendor() == vendor && requirement.allows(version));
    match requirement.pick {
        Pick::Newest => fitting.max(),
        Pick::LongTerm => fitting.filter(|version| lines::is_long_term(tool, version, today)).max(),
        Pick::Settled => fitting.max_by_key(|version| (lines::standing(tool, version, today), *version)),
    }
}

/// The newest version of each line, the newest line first, for people: at most `most` of them.
pub(super) fn overview(tool: Tool, available: &[Version], most: usize) -> Vec<&Version> {
    let line = |version: &Version| version.numbers().iter().take(tool.line_length()).copied().collect::<Vec<_>>();
    let mut versions: Vec<&Version> =
        available.iter().filter(|version| version.is_final() && version.vendor() == tool.vendor()).collect();
    versions.sort_unstable_by_key(|version| Reverse(*version));
    versions.dedup_by_key(|version| line(version));
    versions.truncate(most);
    versions
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::super::ranges::{Dialect, at_least, range, version_or_alias};
    use super::*;

    fn versions(texts: &[&str]) -> Vec<Version> {
        texts.iter().map(|text| Version::parse(text).unwrap()).collect()
    }

    fn chosen(tool: Tool, requirement: &Requirement, available: &[&str]) -> String {
        let available = versions(available);
        let found = choose(tool, requirement, &available, date!(2026 - 12 - 01));
        found.map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn an_open_range_means_the_newest_long_term_line_that_has_settled() {
        let node = ["18.20.8", "20.20.2", "22.2.0", "22.23.5", "24.9.0", "24.22.3", "25.9.0", "26.12.1", "27.0.0"];
        let of = |text| chosen(Tool::Node, &range(text, Dialect::Npm).unwrap(), &node);
        assert_eq!(of(">=20"), "24.22.3");
        assert_eq!(of(">= 20.4"), "24.22.3");
        assert_eq!(of("*"), "24.22.3");
        assert_eq!(of("20.x"), "20.20.2");
        assert_eq!(of(">=20 <23"), "22.23.5");
        assert_eq!(of("^18 || ^20"), "20.20.2", "both have ended: the newer");
        assert_eq!(of(">=25"), "26.12.1", "none that fits has settled: rather young than ended or unknown");
        assert_eq!(of(">=27"), "27.0.0");
        assert_eq!(of(">=28"), "");
        let alias = |text| chosen(Tool::Node, &version_or_alias(text, Dialect::Npm).unwrap(), &node);
        assert_eq!(alias("latest"), "27.0.0");
        assert_eq!(alias("lts/*"), "26.12.1");
        assert_eq!(alias("lts/jod"), "22.23.5");
        assert_eq!(alias("22"), "22.23.5");
        assert_eq!(alias("22.2.0"), "22.2.0");
    }

    #[test]
    fn other_languages_have_their_settled_lines_too() {
        let python = ["3.9.25", "3.11.14", "3.13.9", "3.14.2", "3.15.0", "3.16.0a1"];
        let of = |text| chosen(Tool::Python, &range(text, Dialect::Python).unwrap(), &python);
        assert_eq!(of(">=3.10"), "3.14.2", "the file does not know 3.15 yet");
        assert_eq!(of(">=3.9,<3.14"), "3.13.9");
        assert_eq!(of("==3.16.0a1"), "3.16.0a1");
        let java = ["17.0.2", "temurin-17.0.9+9", "temurin-21.0.5+11.0.LTS", "temurin-26.0.1+8", "zulu-17.40.19"];
        assert_eq!(chosen(Tool::Java, &range("17", Dialect::Npm).unwrap(), &java), "temurin-17.0.9+9");
        assert_eq!(chosen(Tool::Java, &range(">=17", Dialect::Npm).unwrap(), &java), "temurin-21.0.5+11.0.LTS");
        let zulu = version_or_alias("zulu-17", Dialect::Npm).unwrap();
        assert_eq!(chosen(Tool::Java, &zulu, &java), "zulu-17.40.19");
        assert_eq!(chosen(Tool::Go, &at_least("1.21").unwrap(), &["1.21.3", "1.25.4", "1.26.5", "1.27.2"]), "1.26.5");
        assert_eq!(
            chosen(Tool::Rust, &version_or_alias("stable", Dialect::Npm).unwrap(), &["1.98.0", "1.99.1"]),
            "1.99.1"
        );
    }

    #[test]
    fn people_see_one_version_of_each_line() {
        let available = versions(&["3.11.1", "3.11.14", "3.14.2", "3.9.2", "3.15.0a1"]);
        let shown: Vec<String> = overview(Tool::Python, &available, 2).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["3.14.2", "3.11.14"]);
    }
}
