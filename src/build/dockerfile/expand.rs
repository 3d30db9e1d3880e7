//! Variables in the name of a base image, as BuildKit expands them before the first stage.

use std::collections::BTreeMap;

/// The word with its variables and quotes resolved; `None` when it uses a form that is not known here.
///
/// Known are `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME-word}`, `${NAME:+word}` and `${NAME+word}`:
/// <https://docs.docker.com/reference/dockerfile/#environment-replacement>.
pub(super) fn expand(word: &str, escape: char, variables: &BTreeMap<String, String>) -> Option<String> {
    let mut chars = word.chars().peekable();
    let (mut text, mut quote) = (String::new(), None);
    while let Some(c) = chars.next() {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            Some('\'') => text.push(c),
            _ if c == escape => text.extend(chars.next()),
            _ if c != '$' => text.push(c),
            _ if chars.next_if_eq(&'{').is_some() => {
                let inner = braced(&mut chars)?;
                text.push_str(&value_of(&inner, escape, variables)?);
            }
            _ => {
                let mut name = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                // A dollar sign on its own and special parameters such as $1 have no place in a name.
                if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
                    return None;
                }
                text.push_str(variables.get(&name).map_or("", String::as_str));
            }
        }
    }
    quote.is_none().then_some(text)
}

/// What is between braces, of which the first is read.
fn braced(chars: &mut impl Iterator<Item = char>) -> Option<String> {
    let (mut inner, mut depth) = (String::new(), 1);
    for c in chars {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(inner);
        }
        inner.push(c);
    }
    None
}

fn value_of(inner: &str, escape: char, variables: &BTreeMap<String, String>) -> Option<String> {
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, modifier) = inner.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = variables.get(name);
    let given = value.filter(|value| !value.is_empty());
    let other = |word: &str| expand(word, escape, variables);
    if modifier.is_empty() {
        return Some(value.cloned().unwrap_or_default());
    }
    if let Some(word) = modifier.strip_prefix(":-") {
        return given.cloned().or_else(|| other(word));
    }
    if let Some(word) = modifier.strip_prefix('-') {
        return value.cloned().or_else(|| other(word));
    }
    if let Some(word) = modifier.strip_prefix(":+") {
        return if given.is_some() { other(word) } else { Some(String::new()) };
    }
    let word = modifier.strip_prefix('+')?;
    if value.is_some() { other(word) } else { Some(String::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_the_builder_does() {
        let variables = [("A", "1"), ("E", ""), ("IMAGE", "python")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (word, expect) in [
            ("plain:1", Some("plain:1")),
            ("$IMAGE:$A", Some("python:1")),
            ("${IMAGE}:${A}-x", Some("python:1-x")),
            ("x${NONE}y$NONE", Some("xy")),
            ("${NONE:-a:$A}", Some("a:1")),
            ("${E:-b}${E-c}", Some("b")),
            ("${A:+c}${NONE:+d}${E+e}", Some("ce")),
            ("\"$A\"'$A'", Some("1$A")),
            ("\\$A", Some("$A")),
            ("${A", None),
            ("${A%x}", None),
            ("${A/x/y}", None),
            ("$1", None),
            ("a$", None),
            ("${}", None),
            ("'a", None),
        ] {
            assert_eq!(expand(word, '\\', &variables).as_deref(), expect, "{word}");
        }
    }
}
