//! Bare repositories: create, resolve, read, export a tree as tar.
