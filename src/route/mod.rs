//! Stage 5: host name, app, upstreams. The reverse proxy that all traffic of the apps passes through.
//!
//! A [`Table`] says which upstreams serve which app; it is an immutable snapshot, swapped whole. [`serve`] accepts
//! connections on one listener and forwards each request to an upstream of the app that its `Host` names. A request
//! *claims* its upstream in the same atomic step that a drain closes, so that none slips in afterwards and
//! [`Upstream::drained`] means what it says.
//!
//! A request's `passage` holds what it holds (a place in its app, its claim) and ends with it: then an [`Observer`] is told,
//! for access lines and metrics.

mod again;
mod app;
mod body;
mod certificates;
mod challenges;
mod config;
mod gate;
mod headers;
mod hearing;
mod host;
mod linger;
mod listener;
mod observe;
mod passage;
mod platform;
mod pool;
mod proxy;
mod refuse;
mod respond;
mod stall;
mod sticky;
mod table;
pub mod tls;
mod upgrade;
mod upload;
mod upstream;

#[cfg(test)]
mod tests;

pub use app::RoutedApp;
pub use body::{BoxBody, BoxError};
pub use certificates::{Certificates, Servable, Shown};
pub use challenges::{Challenges, Offered};
pub use config::RouterConfig;
pub use listener::serve;
pub use observe::{Answered, Line, Observer, Silence};
pub use platform::{Answer, PlatformService};
pub use respond::{ERROR_HEADER, error};
pub use table::Table;
pub use upstream::{Listed, Upstream};
