//! Composition root: builds everything, owns the order of shutdown.
