//! A stateful engine in memory, for fault tests.
