//! Stage 1: the SSH door. A connection proves a key, names an app and runs the real git against its repository; the
//! pre-receive hook hands the push to the platform, before any reference moves.
//!
//! Invariant: a push whose deploy failed leaves neither a moved reference nor objects behind.

mod backend;
mod channel;
mod connection;
mod exec;
mod gate;
mod hook;
mod install;
mod keys;
mod refs;
mod running;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod threads;
mod transfer;
mod wire;

pub use backend::{Progress, ProgressLines, Push, PushBackend, PushLease, Rejected, Said};
pub use hook::run_hook;
pub use keys::{InvalidHostKey, generate_host_key, parse_host_key};
pub use refs::DEPLOY_BRANCHES;
pub use server::{PushConfig, serve};
