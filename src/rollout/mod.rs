//! Stage 4: a release becomes healthy instances, then one switch, then the old ones drain.
