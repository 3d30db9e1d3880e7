//! What a one-off printed, within bounds.

use std::collections::VecDeque;

use crate::engine::LineSink;

/// A line that is longer is shown in parts.
const LINE_MAX: usize = 64 << 10;

/// Keeps the last bytes of an output, at most so many, and shows each line as soon as it is whole.
pub(super) struct Output<'a> {
    kept: VecDeque<u8>,
    bytes_max: usize,
    /// Bytes that are no longer kept.
    cut: u64,
    on_line: LineSink<'a>,
    /// What has come of the line that is not whole yet.
    line: Vec<u8>,
}

impl<'a> Output<'a> {
    pub(super) fn new(bytes_max: usize, on_line: LineSink<'a>) -> Self {
        Self { kept: VecDeque::new(), bytes_max, cut: 0, on_line, line: Vec::new() }
    }

    /// Nothing follows: a last line without an end is shown.
    pub(super) fn end(&mut self) {
        if !self.line.is_empty() {
            self.show();
        }
    }

    fn show(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        (self.on_line)(line.trim_end_matches('\r'));
        self.line.clear();
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(rest) => {
                    self.line.extend(rest);
                    self.show();
                }
                None => self.line.extend(part),
            }
            if self.line.len() >= LINE_MAX {
                self.show();
            }
        }
        let fits = &chunk[chunk.len().saturating_sub(self.bytes_max)..];
        let surplus = (self.kept.len() + fits.len()).saturating_sub(self.bytes_max);
        self.kept.drain(..surplus);
        self.kept.extend(fits);
        self.cut += (chunk.len() - fits.len() + surplus) as u64;
    }

    /// The text. Bytes that are no UTF-8 are replaced; where the beginning was cut off, a first line says so.
    pub(super) fn into_text(mut self) -> String {
        if self.cut == 0 {
            return text(self.kept.into());
        }
        // Not in the middle of a character.
        let continues = self.kept.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        self.kept.drain(..continues);
        let cut = self.cut + continues as u64;
        format!("[slipway: the first {cut} bytes of the output are cut off]\n{}", text(self.kept.into()))
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn output(bytes_max: usize, chunks: &[&[u8]]) -> String {
        let mut output = Output::new(bytes_max, &|_| {});
        chunks.iter().for_each(|chunk| output.push(chunk));
        output.into_text()
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        assert_eq!(output(9, &[]), "");
        assert_eq!(output(9, &[b"a\r\n", b"b\n\n", b"c"]), "a\r\nb\n\nc");
        assert_eq!(output(9, &["世".as_bytes().split_at(1).0, "世".as_bytes().split_at(1).1]), "世");
        assert_eq!(output(9, &[b"a\xff\xfeb\0"]), "a\u{fffd}\u{fffd}b\0");
    }

    #[test]
    fn of_too_much_the_end_is_kept() {
        let said =
            |bytes: u64, rest: &str| format!("[slipway: the first {bytes} bytes of the output are cut off]\n{rest}");
        assert_eq!(output(4, &[b"abc", b"def"]), said(2, "cdef"));
        assert_eq!(output(4, &[b"abcdefgh"]), said(4, "efgh"));
        assert_eq!(output(4, &[b"abcdefgh", b"i"]), said(5, "fghi"));
        assert_eq!(output(4, &["a世b".as_bytes(), b"c"]), said(4, "bc"), "no broken character at the cut");
    }

    proptest! {
        #[test]
        fn any_chunks_leave_the_last_bytes(chunks in proptest::collection::vec("[a-z]{0,9}", 0..9), bytes_max in 1usize..20) {
            let whole = chunks.concat();
            let kept = output(bytes_max, &chunks.iter().map(String::as_bytes).collect::<Vec<_>>());
            let tail = &whole[whole.len().saturating_sub(bytes_max)..];
            prop_assert!(kept.ends_with(tail));
            prop_assert_eq!(kept == whole, whole.len() <= bytes_max);
        }
    }
}
