//! Stage 2: source becomes an image.
