//! Stage 1: the SSH door.
