//! What the pre-receive hook and the server say to each other over the unix socket.
//!
//! The hook sends one line of JSON, a [`HookCall`]. The server answers with [`Frame`]s, each a kind byte, a length in
//! four big-endian bytes, and that many bytes.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::refs::Update;

/// Where the hook finds the server.
pub(super) const SOCKET_VARIABLE: &str = "SLIPWAY_HOOK_SOCKET";
/// What proves to the server which push the hook belongs to.
pub(super) const TOKEN_VARIABLE: &str = "SLIPWAY_HOOK_TOKEN";
/// Longest call: some ten thousand references.
pub(super) const MAX_CALL: u64 = 1 << 20;
/// Longest frame the hook takes.
const MAX_FRAME: usize = 16 << 20;

/// Everything the server cannot know about a push by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HookCall {
    pub(super) token: String,
    pub(super) updates: Vec<Update>,
    /// git's `GIT_QUARANTINE_PATH`.
    pub(super) quarantine: Option<String>,
    pub(super) options: Vec<String>,
    /// Commits at which the pusher's own history ends, when the push is from a shallow clone.
    pub(super) shallow: Vec<String>,
}

/// What the server tells the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// Bytes for the pusher.
    Output(Vec<u8>),
    /// The release stands: whatever happens to the server from here on, the reference is to move.
    Released,
    /// The hook's exit status.
    Exit(u8),
}

impl Frame {
    /// The bytes on the wire.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Output(bytes) => (b'o', bytes),
            Self::Released => (b'r', &[]),
            Self::Exit(code) => (b'x', std::slice::from_ref(code)),
        };
        // Output frames are single lines, far below 4 GiB.
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        [&[kind], &length.to_be_bytes()[..], payload].concat()
    }

    /// Reads one frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// The stream's own, and `InvalidData` for what no server sends.
    pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0u8; 1];
        if stream.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0u8; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a frame that no server sends");
        if length > MAX_FRAME {
            return Err(invalid());
        }
        let mut payload = vec![0u8; length];
        stream.read_exact(&mut payload)?;
        match (kind[0], &payload[..]) {
            (b'o', _) => Ok(Some(Self::Output(payload))),
            (b'r', []) => Ok(Some(Self::Released)),
            (b'x', [code]) => Ok(Some(Self::Exit(*code))),
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_are_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..99), code in any::<u8>()) {
            let frames = [Frame::Output(bytes), Frame::Released, Frame::Exit(code)];
            let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let mut stream = &wire[..];
            for frame in frames {
                prop_assert_eq!(Frame::read(&mut stream).unwrap(), Some(frame));
            }
            prop_assert_eq!(Frame::read(&mut stream).unwrap(), None);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            let mut stream = &bytes[..];
            while let Ok(Some(_)) = Frame::read(&mut stream) {}
        }
    }
}
