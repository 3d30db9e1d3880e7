//! The router against real upstreams and clients on real sockets.

mod again;
mod bodies;
mod drain;
mod early;
mod malformed;
mod observed;
mod places;
mod routing;
mod settings;
mod support;
mod tls;
mod upgrade;
