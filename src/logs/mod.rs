//! Per-app log streams: collect, store, tail.
