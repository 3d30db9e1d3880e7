//! Structured logs of the server.
