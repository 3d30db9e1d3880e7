//! Cuts chunks of output into complete lines.

/// Longest line that is kept together, in bytes. A program that never ends its line must not fill our memory.
const LONGEST_LINE: usize = 1024 * 1024;

/// Bytes that still wait for the end of their line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    /// Adds a chunk and gives every line that is complete now to `emit`, without its end.
    pub(super) fn push(&mut self, chunk: &[u8], mut emit: impl FnMut(String)) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST_LINE {
                emit(text(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// The last line, if it had no end.
    pub(super) fn finish(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        (!partial.is_empty()).then(|| text(&partial))
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[u8]], expect: &[&str]) {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.push(chunk, |line| seen.push(line));
        }
        seen.extend(lines.finish());
        assert_eq!(seen, expect);
        assert!(lines.is_empty());
    }

    #[test]
    fn lines_are_put_together_from_chunks() {
        check(&[b"one\ntw", b"o\n", b"three"], &["one", "two", "three"]);
        check(&[b"\n\na\r\n"], &["", "", "a"]);
        check(&["gr\u{fc}n\n".as_bytes().split_at(3).0, "gr\u{fc}n\n".as_bytes().split_at(3).1], &["gr\u{fc}n"]);
        check(&[b"\xff\xfe!\n"], &["\u{fffd}\u{fffd}!"]);
        check(&[], &[]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let chunk = vec![b'x'; 64 * 1024];
        let mut lines = Lines::default();
        let mut lengths = Vec::new();
        for _ in 0..40 {
            lines.push(&chunk, |line| lengths.push(line.len()));
        }
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE]);
    }
}
