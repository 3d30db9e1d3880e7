//! The sentence: build, then release, then rollout.
