//! The text of a pushed file that Slipway itself reads, whatever editor saved it.

/// Why a file is no text. The message follows the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotText {
    /// A byte that is not UTF-8, as in texts of Windows-1252 or Latin-1.
    #[error("is not UTF-8 text (line {line}): save it as UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// A mark of UTF-16 in front, and then something that is none.
    #[error("begins as UTF-16 text and is damaged: save it as UTF-8")]
    BrokenUtf16,
    /// A mark of UTF-32 in front.
    #[error("is UTF-32 text: save it as UTF-8")]
    Utf32,
    /// Zero bytes: UTF-16 without its mark, or no text at all.
    #[error("holds zero bytes, as UTF-16 text without its byte order mark does: save it as UTF-8")]
    ZeroBytes,
}

/// The text in `bytes`: UTF-8, or UTF-16 with a byte order mark (what PowerShell's `>` writes); the mark is dropped, and line
/// ends of Windows and of old Macs become those of Linux.
///
/// # Errors
/// [`NotText`] names the encoding where it can be told, and what to do.
pub(super) fn text_of(bytes: &[u8]) -> Result<String, NotText> {
    let text = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(NotText::Utf32),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        _ => utf8(bytes)?,
    };
    if text.contains('\0') {
        return Err(NotText::ZeroBytes);
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

fn utf8(bytes: &[u8]) -> Result<String, NotText> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if bytes.contains(&0) => Err(NotText::ZeroBytes),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            Err(NotText::NotUtf8 { line: 1 + before.iter().filter(|byte| **byte == b'\n').count() })
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, NotText> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotText::BrokenUtf16);
    }
    char::decode_utf16(units.iter().map(|pair| unit(*pair))).collect::<Result<_, _>>().map_err(|_| NotText::BrokenUtf16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "web: grüße\n# 🚀\n";

    fn utf16_of(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_editor_saves_the_same_text() {
        let windows = TEXT.replace('\n', "\r\n");
        for bytes in [
            TEXT.as_bytes().to_vec(),
            windows.clone().into_bytes(),
            TEXT.replace('\n', "\r").into_bytes(),
            format!("\u{feff}{TEXT}").into_bytes(),
            format!("\u{feff}{windows}").into_bytes(),
            utf16_of(TEXT, u16::to_le_bytes),
            utf16_of(&windows, u16::to_le_bytes),
            utf16_of(&windows, u16::to_be_bytes),
        ] {
            assert_eq!(text_of(&bytes).as_deref(), Ok(TEXT), "{bytes:?}");
        }
        assert_eq!(text_of(b"").as_deref(), Ok(""));
        assert_eq!(text_of(b"\xef\xbb\xbf").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(text_of(b"a\r\nb\n# caf\xe9\n"), Err(NotText::NotUtf8 { line: 3 }));
        assert_eq!(text_of(b"\xff\xfe\0\0a\0\0\0"), Err(NotText::Utf32));
        assert_eq!(text_of(b"\xff\xfea"), Err(NotText::BrokenUtf16));
        assert_eq!(text_of(b"\xff\xfe\0\xd8"), Err(NotText::BrokenUtf16));
        assert_eq!(text_of(b"w\0e\0b\0"), Err(NotText::ZeroBytes));
        assert_eq!(text_of(b"\xe9\0b\0"), Err(NotText::ZeroBytes));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = text_of(&bytes) {
                prop_assert!(!text.contains(['\r', '\0']));
            }
        }
    }
}
