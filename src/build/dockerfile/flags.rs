//! The flags of an instruction, split exactly as BuildKit splits them.

/// Flags and what follows them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flags<'a> {
    /// As written, without quotes and escapes: `--from=build`.
    pub flags: Vec<String>,
    /// The rest of the instruction, from its first other word on.
    pub rest: &'a str,
    /// Whether each flag was written without quotes, escapes and anything beyond ASCII, so that it can be written again.
    pub is_plain: bool,
}

impl<'a> Flags<'a> {
    /// Splits what follows a keyword. After `extractBuilderFlags` in BuildKit's `frontend/dockerfile/parser/split_command.go`,
    /// which goes byte by byte: bytes 0x85 and 0xA0 are blanks to it, wherever in a character they are.
    pub fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let is_blank = |byte: u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xA0);
        let (mut flags, mut is_plain, mut at) = (Vec::new(), true, 0);
        loop {
            while at < bytes.len() && is_blank(bytes[at]) {
                is_plain &= bytes[at].is_ascii();
                at += 1;
            }
            if !bytes[at..].starts_with(b"--") {
                break;
            }
            let (mut word, mut quote) = (Vec::new(), None);
            while let Some(&byte) = bytes.get(at) {
                match quote {
                    None if is_blank(byte) => break,
                    None if byte == b'"' || byte == b'\'' => quote = Some(byte),
                    Some(open) if byte == open => quote = None,
                    _ if byte == b'\\' && at + 1 < bytes.len() => {
                        at += 1;
                        word.push(bytes[at]);
                    }
                    _ => word.push(byte),
                }
                is_plain &= byte.is_ascii() && !b"\"'\\".contains(&byte);
                at += 1;
            }
            if word == b"--" {
                break;
            }
            flags.push(String::from_utf8_lossy(&word).into_owned());
        }
        // Where a flag that is not plain ends inside a character, its instruction is refused, whatever is taken as its rest.
        Self { flags, rest: text.get(at..).unwrap_or_default(), is_plain }
    }

    /// Whether any flag may name an image.
    pub fn may_name_an_image(&self) -> bool {
        self.flags.iter().any(|flag| flag.to_ascii_lowercase().contains("from"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_what_the_builder_takes_for_some() {
        let check = |text: &str, flags: &[&str], rest: &str, is_plain: bool| {
            let found = Flags::of(text);
            assert_eq!(
                (found.flags.iter().map(String::as_str).collect::<Vec<_>>(), found.rest),
                (flags.to_vec(), rest)
            );
            assert_eq!(found.is_plain, is_plain, "{text}");
        };
        check("a b", &[], "a b", true);
        check("--from=x --chown=1:1  a b --from=y", &["--from=x", "--chown=1:1"], "a b --from=y", true);
        check("--from=x", &["--from=x"], "", true);
        check("-- --from=x", &[], " --from=x", true);
        check("\"--from=x\" a", &[], "\"--from=x\" a", true);
        check("--from='x y' a", &["--from=x y"], "a", false);
        check("--fr\\om=x a", &["--from=x"], "a", false);
    }

    #[test]
    fn a_byte_of_a_character_may_be_a_blank() {
        let found = Flags::of("--chown=à--from=x a");
        assert_eq!(found.flags.len(), 2, "{found:?}");
        assert!(found.may_name_an_image() && !found.is_plain);
    }
}
