//! Stage 5: host name, app, upstreams.
