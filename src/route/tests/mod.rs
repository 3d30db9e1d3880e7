//! The router against real upstreams and clients on real sockets.

mod bodies;
mod drain;
mod malformed;
mod routing;
mod support;
mod tls;
mod upgrade;
