//! Release lines: which of them have settled, and until when they get fixes.
//!
//! `lines.tsv` is written by `scripts/runtime-lines` from <https://endoflife.date>. A line that is newer than the file is not
//! known, and therefore not taken for a settled one.

use std::sync::LazyLock;

use time::format_description::well_known::Iso8601;
use time::{Date, Duration};

use super::Tool;
use super::version::Version;

/// A line has settled so long after it was released or, where its language has such lines, got long-term support: until then
/// packages with compiled parts have nothing built for it.
const SETTLES_AFTER: Duration = Duration::days(180);

/// The end of a line is told from so long before it on.
const END_IS_NEAR: Duration = Duration::days(120);

/// A release line of a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    tool: Tool,
    numbers: Vec<u64>,
    released: Date,
    long_term: Option<Date>,
    ends: Option<Date>,
}

static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| {
    include_str!("lines.tsv").lines().filter(|row| !row.starts_with('#')).map(|row| line(row).expect("a row")).collect()
});

fn line(row: &str) -> Option<Line> {
    let columns: Vec<&str> = row.split('\t').collect();
    let [tool, numbers, released, long_term, ends] = columns.as_slice() else { return None };
    let day = |text: &str| Date::parse(text, &Iso8601::DATE).ok();
    Some(Line {
        tool: Tool::of_name(tool)?,
        numbers: numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?,
        released: day(released)?,
        long_term: day(long_term),
        ends: day(ends),
    })
}

/// The line that a version is of.
pub(super) fn of(tool: Tool, version: &Version) -> Option<&'static Line> {
    LINES.iter().find(|line| line.tool == tool && version.numbers().starts_with(&line.numbers))
}

/// How good a line is to be put on without having been asked for; higher is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// No more fixes.
    Ended,
    /// Nobody knows it yet, or it never gets long-term support.
    Passing,
    /// It is young.
    Young,
    /// It has settled.
    Settled,
}

/// How a version's line stands on a day. Languages without lines in the file have one only, which always has settled.
pub(super) fn standing(tool: Tool, version: &Version, today: Date) -> Standing {
    if !LINES.iter().any(|line| line.tool == tool) {
        return Standing::Settled;
    }
    let Some(line) = of(tool, version) else { return Standing::Passing };
    let since = if has_long_term(tool) { line.long_term } else { Some(line.released) };
    match since {
        _ if line.ends.is_some_and(|ends| ends <= today) => Standing::Ended,
        None => Standing::Passing,
        Some(since) if since > today => Standing::Passing,
        Some(since) if since + SETTLES_AFTER > today => Standing::Young,
        Some(_) => Standing::Settled,
    }
}

/// Whether a version's line has long-term support on a day.
pub(super) fn is_long_term(tool: Tool, version: &Version, today: Date) -> bool {
    of(tool, version).and_then(|line| line.long_term).is_some_and(|since| since <= today)
}

fn has_long_term(tool: Tool) -> bool {
    LINES.iter().any(|line| line.tool == tool && line.long_term.is_some())
}

/// When a version's line ends, if that day is near or over.
pub(super) fn near_end(tool: Tool, version: &Version, today: Date) -> Option<Date> {
    of(tool, version)?.ends.filter(|ends| *ends <= today + END_IS_NEAR)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn every_row_is_a_line() {
        assert!(LINES.len() > 50);
        for tool in [Tool::Go, Tool::Java, Tool::Node, Tool::Php, Tool::Python, Tool::Ruby] {
            assert!(LINES.iter().any(|line| line.tool == tool), "{tool:?}");
        }
    }

    #[test]
    fn a_line_settles_half_a_year_after_it_became_what_it_is() {
        let today = date!(2026 - 12 - 01);
        let of = |tool, text| standing(tool, &Version::parse(text).unwrap(), today);
        assert_eq!(of(Tool::Node, "20.20.2"), Standing::Ended);
        assert_eq!(of(Tool::Node, "22.1.0"), Standing::Settled);
        assert_eq!(of(Tool::Node, "24.1.0"), Standing::Settled);
        assert_eq!(of(Tool::Node, "25.1.0"), Standing::Ended);
        assert_eq!(of(Tool::Node, "26.1.0"), Standing::Young, "long-term since October");
        assert_eq!(of(Tool::Node, "27.0.0"), Standing::Passing);
        assert_eq!(of(Tool::Python, "3.14.2"), Standing::Settled);
        assert_eq!(of(Tool::Java, "temurin-25.0.1"), Standing::Settled);
        assert_eq!(of(Tool::Rust, "1.99.0"), Standing::Settled);
        assert_eq!(near_end(Tool::Node, &Version::parse("20.1.0").unwrap(), today), Some(date!(2026 - 04 - 30)));
        assert_eq!(near_end(Tool::Node, &Version::parse("24.1.0").unwrap(), today), None);
        assert_eq!(near_end(Tool::Php, &Version::parse("8.2.1").unwrap(), today), Some(date!(2026 - 12 - 31)));
    }
}
