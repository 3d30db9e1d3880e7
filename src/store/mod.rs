//! SQL lives here and nowhere else: one file per noun.
