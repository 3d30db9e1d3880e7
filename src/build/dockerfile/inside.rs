//! Instructions as they are when the build's files lie in a folder of the context, apart from the Dockerfile.

use super::super::instructions::raw_words;
use super::flags::Flags;

/// The folder. What the builder says is told without it.
pub(super) const FOLDER: &str = "slipway-files";

/// What follows the keyword of `COPY` and `ADD`, its sources below the folder. Here-documents are no files.
pub(super) fn sources_inside(rest: &str, escape: char) -> String {
    let words = Flags::of(rest).rest;
    let flags = &rest[..rest.len() - words.len()];
    let below = |source: &str| if source.starts_with("<<") { source.to_owned() } else { format!("{FOLDER}/{source}") };
    if let Ok(mut words) = serde_json::from_str::<Vec<String>>(words) {
        let sources = words.len().saturating_sub(1);
        words[..sources].iter_mut().for_each(|source| *source = below(source));
        return format!("{flags}{}", serde_json::Value::from(words));
    }
    let words = raw_words(words, escape);
    let Some((target, sources)) = words.split_last() else { return rest.to_owned() };
    let sources = sources.iter().map(|source| below(source)).chain([target.clone()]);
    format!("{flags}{}", sources.collect::<Vec<_>>().join(" "))
}

/// A flag of `RUN`; one that mounts the build's files mounts those of the folder.
pub(super) fn mount_inside(flag: &str) -> String {
    let Some(value) = flag.strip_prefix("--mount=") else { return flag.to_owned() };
    let mut fields: Vec<String> = value.split(',').map(str::to_owned).collect();
    let value_of = |names: &[&str]| {
        fields.iter().position(|field| {
            field.split_once('=').is_some_and(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)))
        })
    };
    let text = |at: Option<usize>| at.and_then(|at| fields[at].split_once('=')).map_or("", |(_, text)| text);
    let is_bind = matches!(text(value_of(&["type"])).to_ascii_lowercase().as_str(), "" | "bind");
    if !is_bind || !text(value_of(&["from"])).is_empty() {
        return flag.to_owned();
    }
    match value_of(&["source", "src"]) {
        Some(at) => fields[at] = format!("source={FOLDER}/{}", text(Some(at))),
        None => fields.push(format!("source={FOLDER}")),
    }
    format!("--mount={}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_from_the_folder() {
        let check = |rest: &str, expect: &str| assert_eq!(sources_inside(rest, '\\'), expect);
        check(". .", "slipway-files/. .");
        check("a b* /to/", "slipway-files/a slipway-files/b* /to/");
        check("--chown=1:1 --link /a ./", "--chown=1:1 --link slipway-files//a ./");
        check(r#"["a b", "/to/"]"#, r#"["slipway-files/a b","/to/"]"#);
        check(r#"--chown=1 ["a", "b"]"#, r#"--chown=1 ["slipway-files/a","b"]"#);
        check(r#""a b" /to"#, r#"slipway-files/"a b" /to"#);
        check("$FILE /to", "slipway-files/$FILE /to");
        check("<<EOF /to", "<<EOF /to");
        check("", "");
    }

    #[test]
    fn mounts_of_the_builds_files_are_those_of_the_folder() {
        let check = |flag: &str, expect: &str| assert_eq!(mount_inside(flag), expect);
        check("--mount=target=/src", "--mount=target=/src,source=slipway-files");
        check("--mount=type=bind,source=a,target=/a", "--mount=type=bind,source=slipway-files/a,target=/a");
        check("--mount=type=bind,src=/a,target=/a,rw", "--mount=type=bind,source=slipway-files//a,target=/a,rw");
        for other in
            ["--mount=type=cache,target=/c", "--mount=type=bind,from=tools,source=/x,target=/x", "--network=none"]
        {
            check(other, other);
        }
    }
}
