//! Threads for SSH alone: what a handshake costs is no request's wait.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of half as many threads as there are processors.
pub(super) struct Threads(Option<Runtime>, Handle);

impl Threads {
    /// Starts them.
    pub(super) fn start() -> io::Result<Self> {
        let threads = available_parallelism().map_or(1, usize::from).div_ceil(2);
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("ssh").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    /// Where to spawn.
    pub(super) fn handle(&self) -> &Handle {
        &self.1
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Never waits: whoever drops it is asynchronous, too.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
