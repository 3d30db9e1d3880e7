//! The `slipway` command.

use std::process::ExitCode;

/// A row of an answer is dozens of small allocations, made on one thread and freed on another, which the C library's
/// allocator is slow at. The crate's feature `override` has it serve SQLite's and libgit2's C code, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: git starts it for every push, and it needs neither settings nor a runtime.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "hook") {
        return slipway::push::run_hook();
    }
    // Two crypto providers are in the program; rustls picks none by itself then.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("slipway: a crypto provider is installed already");
        return ExitCode::FAILURE;
    }
    slipway::cli::run()
}
