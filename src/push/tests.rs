//! The door, driven by the real git and ssh.
