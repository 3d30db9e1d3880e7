//! Reads a file's lines from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at a time; memory use is bounded by this and the longest line.
const BLOCK: u64 = 64 << 10;

/// The whole lines in the first `end` bytes of a file, last one first, without their ends. What follows the last line
/// end is not yielded.
pub(super) struct ReverseLines {
    file: File,
    /// Everything from here on has been read.
    start: u64,
    /// Read and not yet yielded; lies directly after `start` in the file.
    buffer: Vec<u8>,
}

impl ReverseLines {
    pub(super) fn new(file: File, end: u64) -> Self {
        Self { file, start: end, buffer: Vec::new() }
    }

    /// The line before the one yielded last.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // The buffer ends with the line end of the line wanted, once anything after it is cut off.
            let last = self.buffer.iter().rposition(|byte| *byte == b'\n');
            let Some(last) = last else {
                if self.start == 0 {
                    return Ok(None);
                }
                self.read_block()?;
                continue;
            };
            let before = self.buffer[..last].iter().rposition(|byte| *byte == b'\n');
            match before {
                Some(before) => {
                    let line = self.buffer[before + 1..last].to_vec();
                    self.buffer.truncate(before + 1);
                    return Ok(Some(line));
                }
                None if self.start == 0 => {
                    let line = self.buffer[..last].to_vec();
                    self.buffer.clear();
                    return Ok(Some(line));
                }
                None => self.read_block()?,
            }
        }
    }

    fn read_block(&mut self) -> io::Result<()> {
        let begin = self.start.saturating_sub(BLOCK);
        let mut block = vec![0; (self.start - begin) as usize];
        self.file.read_exact_at(&mut block, begin)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        self.start = begin;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn reversed(content: &[u8]) -> Vec<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut lines = ReverseLines::new(file, content.len() as u64);
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn yields_the_whole_lines_backwards(lines in proptest::collection::vec("[a-z]{0,9}", 0..20), torn in "[a-z]{0,5}") {
            let mut content: String = lines.iter().map(|line| format!("{line}\n")).collect();
            content.push_str(&torn);
            let expect: Vec<Vec<u8>> = lines.iter().rev().map(|line| line.clone().into_bytes()).collect();
            prop_assert_eq!(reversed(content.as_bytes()), expect);
        }
    }

    #[test]
    fn lines_may_span_blocks() {
        let long = "x".repeat(BLOCK as usize * 2 + 7);
        let content = format!("first\n{long}\nlast\n");
        assert_eq!(reversed(content.as_bytes()), [b"last".to_vec(), long.into_bytes(), b"first".to_vec()]);
    }
}
