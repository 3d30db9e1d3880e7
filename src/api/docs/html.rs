//! Text into HTML.

use serde_json::Value;

/// Text that is safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// One line of text, in which backticks mark code.
pub(super) fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| match index % 2 {
            0 => escape(part),
            _ => format!("<code>{}</code>", escape(part)),
        })
        .collect()
}

/// Paragraphs, parted by empty lines.
pub(super) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>\n", inline(paragraph.trim()))).collect()
}

/// A path with its parameters marked, to be broken at slashes.
pub(super) fn path(path: &str) -> String {
    let part = |part: &str| match part.starts_with('{') {
        true => format!("<var>{}</var>", escape(part)),
        false => escape(part),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("<wbr>/")
}

/// A block of code.
pub(super) fn code(text: &str) -> String {
    format!("<pre><code>{}</code></pre>\n", escape(text))
}

/// A value as JSON, laid out; nothing for null.
pub(super) fn json(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    code(&serde_json::to_string_pretty(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(inline("say `<b>` & go"), "say <code>&lt;b&gt;</code> &amp; go");
        assert_eq!(prose("a\n\nb `c`"), "<p>a</p>\n<p>b <code>c</code></p>\n");
        assert_eq!(path("/apps/{app}"), "<wbr>/apps<wbr>/<var>{app}</var>");
    }
}
