//! The Deis controller API, v1.
