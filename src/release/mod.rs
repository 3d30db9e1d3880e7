//! Stage 3: image and config become a numbered, immutable release.
