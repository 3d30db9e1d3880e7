//! Ranges of versions, as each ecosystem writes them.

use super::version::{Bound, Pick, Requirement, TEXT_MAX, Version, leading_numbers};

/// Who wrote a range, where the same signs mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// npm's, also for a bare version in a file of its own: <https://docs.npmjs.com/cli/v6/using-npm/semver>.
    Npm,
    /// Composer's: <https://getcomposer.org/doc/articles/versions.md>.
    Composer,
    /// RubyGems': <https://guides.rubygems.org/patterns/>.
    Gem,
    /// Of Python's packages, PEP 440 and what Poetry adds to it.
    Python,
}

/// Major versions of Node.js by the names of their long-term lines.
const NODE_NAMES: [(&str, u64); 9] = [
    ("carbon", 8),
    ("dubnium", 10),
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
];

/// The signs before a version, longer ones first.
const SIGNS: [&str; 13] = ["===", ">=", "<=", "==", "!=", "~>", "~=", ">", "<", "=", "^", "~", "@"];

/// Most conditions of one range.
const BOUNDS_MAX: usize = 50;

/// Reads a range; `None` when it is none.
pub(super) fn range(text: &str, dialect: Dialect) -> Option<Requirement> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let text = text.trim();
    let alternatives = text.split('|').filter(|part| !(part.is_empty() && text.contains("||")));
    let alternatives = alternatives.map(|part| bounds(part.trim(), dialect)).collect::<Option<Vec<_>>>()?;
    (!alternatives.is_empty()).then(|| Requirement::of(alternatives))
}

/// Reads what version files and version managers hold: a version, the beginning of one, an alias, or a range.
pub(super) fn version_or_alias(text: &str, dialect: Dialect) -> Option<Requirement> {
    let text = text.trim();
    let plain = text.strip_prefix("prefix:").unwrap_or(text).to_ascii_lowercase();
    match plain.as_str() {
        "latest" | "node" | "current" => return Some(Requirement::any(Pick::Newest)),
        "stable" => return Some(Requirement::any(Pick::Settled)),
        "lts" | "lts/*" | "lts-*" | "--lts" => return Some(Requirement::any(Pick::LongTerm)),
        _ => {}
    }
    if let Some(name) = plain.strip_prefix("lts/").or_else(|| plain.strip_prefix("lts-")) {
        let (_, major) = NODE_NAMES.iter().find(|(known, _)| *known == name)?;
        return Some(Requirement::of(vec![vec![Bound::Within(vec![*major])]]));
    }
    match Version::parse(&plain).filter(|version| !version.vendor().is_empty()) {
        Some(version) => {
            let mut requirement = Requirement::of(vec![vec![Bound::Within(version.numbers().to_vec())]]);
            version.vendor().clone_into(&mut requirement.vendor);
            Some(requirement)
        }
        None => range(&plain, dialect),
    }
}

/// At least this one, as Go reads its `go` line.
pub(super) fn at_least(text: &str) -> Option<Requirement> {
    let version = Version::parse(text.trim().trim_start_matches("go"))?;
    Some(Requirement::of(vec![vec![Bound::AtLeast(version.numbers().to_vec())]]))
}

/// The conditions of one alternative, which all have to hold.
fn bounds(text: &str, dialect: Dialect) -> Option<Vec<Bound>> {
    if let Some((from, to)) = text.split_once(" - ").filter(|_| matches!(dialect, Dialect::Npm | Dialect::Composer)) {
        return hyphenated(from.trim(), to.trim());
    }
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(SEPARATORS);
    while !rest.is_empty() {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).copied().unwrap_or_default();
        let after = rest[sign.len()..].trim_start();
        let end = after.find(|c: char| SEPARATORS.contains(&c) || "<>=!~^".contains(c)).unwrap_or(after.len());
        found.extend(condition(sign, &after[..end], dialect)?);
        rest = after[end..].trim_start_matches(SEPARATORS);
        if found.len() > BOUNDS_MAX {
            return None;
        }
    }
    Some(found)
}

const SEPARATORS: [char; 4] = [',', ' ', '\t', '\n'];

/// The numbers of `1.2`, `v1.2.x`, `1.*`, `*`: as many as are given, and whether there is a placeholder after them. With what
/// marks a version as not finished, the whole of it.
fn partial(text: &str) -> Option<(Vec<u64>, Option<Version>)> {
    // A stability flag of Composer.
    let text = text.split('@').next()?;
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    if matches!(text, "*" | "x" | "X") {
        return Some((Vec::new(), None));
    }
    let (numbers, rest) = leading_numbers(text)?;
    let is_placeholder = rest.split('.').all(|part| matches!(part, "" | "*" | "x" | "X"));
    if is_placeholder || rest.starts_with('+') {
        return Some((numbers, None));
    }
    let version = Version::parse(text)?;
    Some((numbers, (!version.is_final()).then_some(version)))
}

fn condition(sign: &str, text: &str, dialect: Dialect) -> Option<Vec<Bound>> {
    let (numbers, unfinished) = partial(text)?;
    if let Some(version) = unfinished {
        // A range that begins with an unfinished one does not ask for unfinished ones: what follows it will do.
        return Some(match sign {
            "" | "=" | "==" | "===" => vec![Bound::Exactly(version)],
            "!=" => vec![],
            _ => return condition(sign, &joined(&numbers), dialect),
        });
    }
    if numbers.is_empty() {
        return matches!(sign, "" | "=" | "==" | ">=" | "^" | "~" | "<=").then(Vec::new);
    }
    let is_partial = numbers.len() < 3 && dialect == Dialect::Npm;
    Some(match sign {
        "" | "=" | "==" | "===" | "@" => vec![Bound::Within(numbers)],
        "!=" => vec![Bound::Outside(numbers)],
        ">=" => vec![Bound::AtLeast(numbers)],
        "<" => vec![Bound::Below(numbers)],
        ">" if is_partial => vec![Bound::AtLeast(next(&numbers, numbers.len() - 1))],
        ">" => vec![Bound::Above(numbers)],
        "<=" if is_partial => vec![Bound::Below(next(&numbers, numbers.len() - 1))],
        "<=" => vec![Bound::AtMost(numbers)],
        "^" => {
            let significant = numbers.iter().position(|number| *number > 0).unwrap_or(numbers.len() - 1);
            let end = next(&numbers, significant);
            vec![Bound::AtLeast(numbers), Bound::Below(end)]
        }
        // Its last number may rise: 3.1 up to 4, 3.1.2 up to 3.2.
        "~>" | "~=" => pessimistic(numbers, 2),
        "~" if dialect == Dialect::Composer => pessimistic(numbers, 2),
        "~" => {
            let end = next(&numbers, 1.min(numbers.len() - 1));
            vec![Bound::AtLeast(numbers), Bound::Below(end)]
        }
        _ => return None,
    })
}

fn pessimistic(numbers: Vec<u64>, from_end: usize) -> Vec<Bound> {
    let end = next(&numbers, numbers.len().saturating_sub(from_end));
    vec![Bound::AtLeast(numbers), Bound::Below(end)]
}

fn hyphenated(from: &str, to: &str) -> Option<Vec<Bound>> {
    let ((from, _), (to, _)) = (partial(from)?, partial(to)?);
    let end = match to.len() {
        0 => return Some(vec![Bound::AtLeast(from)]),
        1 | 2 => Bound::Below(next(&to, to.len() - 1)),
        _ => Bound::AtMost(to),
    };
    Some(vec![Bound::AtLeast(from), end])
}

/// The numbers up to `index`, the last of them one higher.
fn next(numbers: &[u64], index: usize) -> Vec<u64> {
    let mut next = numbers[..=index].to_vec();
    next[index] += 1;
    next
}

fn joined(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of some versions a range allows.
    fn allowed(range: Option<Requirement>, versions: &[&str]) -> String {
        let Some(range) = range else { return "no range".into() };
        let fits = |text: &&&str| range.allows(&Version::parse(text).unwrap());
        versions.iter().filter(fits).copied().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ranges_of_npm() {
        let versions = ["18.20.8", "20.0.0", "20.4.0", "20.11.1", "21.7.3", "22.0.0-rc.1", "22.2.0", "24.1.0"];
        for (text, expected) in [
            (">=20", "20.0.0 20.4.0 20.11.1 21.7.3 22.2.0 24.1.0"),
            (">= 20.4", "20.4.0 20.11.1 21.7.3 22.2.0 24.1.0"),
            (">20", "21.7.3 22.2.0 24.1.0"),
            ("<=20", "18.20.8 20.0.0 20.4.0 20.11.1"),
            ("<20.4", "18.20.8 20.0.0"),
            ("20", "20.0.0 20.4.0 20.11.1"),
            ("20.x", "20.0.0 20.4.0 20.11.1"),
            ("20.x.x", "20.0.0 20.4.0 20.11.1"),
            ("v20.11.1", "20.11.1"),
            ("=20.11.1", "20.11.1"),
            ("^20.4", "20.4.0 20.11.1"),
            ("~20.4", "20.4.0"),
            ("~20", "20.0.0 20.4.0 20.11.1"),
            ("^18 || ^22", "18.20.8 22.2.0"),
            ("^18||>=24", "18.20.8 24.1.0"),
            (">=20 <22", "20.0.0 20.4.0 20.11.1 21.7.3"),
            (">=20<22", "20.0.0 20.4.0 20.11.1 21.7.3"),
            ("18 - 20", "18.20.8 20.0.0 20.4.0 20.11.1"),
            ("20.0.0 - 20.4.0", "20.0.0 20.4.0"),
            ("22.0.0-rc.1", "22.0.0-rc.1"),
            (">=22.0.0-rc.1", "22.2.0 24.1.0"),
            ("", "18.20.8 20.0.0 20.4.0 20.11.1 21.7.3 22.2.0 24.1.0"),
            ("*", "18.20.8 20.0.0 20.4.0 20.11.1 21.7.3 22.2.0 24.1.0"),
            ("x", "18.20.8 20.0.0 20.4.0 20.11.1 21.7.3 22.2.0 24.1.0"),
            ("twenty", "no range"),
            ("20; rm -rf /", "no range"),
            ("> ", "no range"),
            ("99999999999999999999", "no range"),
            ("$(id)", "no range"),
        ] {
            assert_eq!(allowed(range(text, Dialect::Npm), &versions), expected, "{text:?}");
        }
        assert_eq!(allowed(range(&"1 ".repeat(4000), Dialect::Npm), &versions), "no range");
    }

    #[test]
    fn ranges_of_python() {
        let versions = ["3.9.19", "3.10.1", "3.11.0", "3.11.9", "3.12.1", "3.12.4", "3.13.0", "4.0.0"];
        for (text, expected) in [
            (">=3.10,<3.13", "3.10.1 3.11.0 3.11.9 3.12.1 3.12.4"),
            (">=3.10, !=3.12.*, <4", "3.10.1 3.11.0 3.11.9 3.13.0"),
            ("~=3.11", "3.11.0 3.11.9 3.12.1 3.12.4 3.13.0"),
            ("~=3.11.0", "3.11.0 3.11.9"),
            ("==3.11.*", "3.11.0 3.11.9"),
            ("==3.11.9", "3.11.9"),
            ("^3.11", "3.11.0 3.11.9 3.12.1 3.12.4 3.13.0"),
            ("~3.11", "3.11.0 3.11.9"),
            (">3.11", "3.11.9 3.12.1 3.12.4 3.13.0 4.0.0"),
            ("<=3.11", "3.9.19 3.10.1 3.11.0"),
            ("!=3.12.1,>=3.12", "3.12.4 3.13.0 4.0.0"),
            ("3.11 || 3.13", "3.11.0 3.11.9 3.13.0"),
        ] {
            assert_eq!(allowed(range(text, Dialect::Python), &versions), expected, "{text:?}");
        }
    }

    #[test]
    fn ranges_of_ruby_and_php() {
        let versions = ["2.7.8", "3.1.0", "3.1.4", "3.2.2", "4.0.1"];
        for (text, expected) in [
            ("~> 3.1", "3.1.0 3.1.4 3.2.2"),
            ("~> 3.1.0", "3.1.0 3.1.4"),
            ("~> 3", "3.1.0 3.1.4 3.2.2"),
            (">= 3.0, < 4", "3.1.0 3.1.4 3.2.2"),
            ("3.2.2", "3.2.2"),
            ("> 3.1.0", "3.1.4 3.2.2 4.0.1"),
        ] {
            assert_eq!(allowed(range(text, Dialect::Gem), &versions), expected, "{text:?}");
        }
        let versions = ["7.4.33", "8.0.30", "8.1.2", "8.2.20", "8.3.1", "9.0.0"];
        for (text, expected) in [
            ("^8.1", "8.1.2 8.2.20 8.3.1"),
            ("~8.1", "8.1.2 8.2.20 8.3.1"),
            ("~8.1.0", "8.1.2"),
            ("8.1.*", "8.1.2"),
            ("^7.4 || ^8.2", "7.4.33 8.2.20 8.3.1"),
            ("^7.4|^8.2", "7.4.33 8.2.20 8.3.1"),
            (">=8.1 <8.3", "8.1.2 8.2.20"),
            (">=8.1,<8.3", "8.1.2 8.2.20"),
            ("8.0 - 8.2", "8.0.30 8.1.2 8.2.20"),
            ("^8.1@stable", "8.1.2 8.2.20 8.3.1"),
        ] {
            assert_eq!(allowed(range(text, Dialect::Composer), &versions), expected, "{text:?}");
        }
    }

    #[test]
    fn aliases_and_vendors() {
        let pick = |text| version_or_alias(text, Dialect::Npm).map(|it| it.pick);
        assert_eq!(pick("lts/*"), Some(Pick::LongTerm));
        assert_eq!(pick("latest"), Some(Pick::Newest));
        assert_eq!(pick("stable"), Some(Pick::Settled));
        assert_eq!(allowed(version_or_alias("lts/Iron", Dialect::Npm), &["20.1.0", "22.1.0"]), "20.1.0");
        assert_eq!(version_or_alias("lts/unknown", Dialect::Npm), None);
        let java = version_or_alias("zulu-17.0.9", Dialect::Npm).unwrap();
        assert_eq!((java.vendor.as_str(), java.allows(&Version::parse("zulu-17.0.9+11").unwrap())), ("zulu", true));
        assert_eq!(allowed(at_least("1.21"), &["1.20.1", "1.21.0", "1.26.1"]), "1.21.0 1.26.1");
        for odd in ["system", "ref:main", "path:/etc", "sub-1:latest", "{{ exec(command='id') }}", "-20"] {
            assert_eq!(version_or_alias(odd, Dialect::Npm), None, "{odd}");
        }
    }
}
