//! What this door lays around the endpoints of its table.

use axum::Router;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};

use super::error::Error;
use super::{auth, headers, hooks};
use crate::api::limits::limit_head;
use crate::api::routes::{Access, Allow, Routes};
use crate::platform::Platform;

/// The door. Every path answers HEAD and OPTIONS too, and 405 to any other method, with the list of its methods in `Allow`
/// on every answer. Of the layers, the one added last sees a request first: version, then token, then method.
pub(super) fn finish(routes: Routes, platform: &Platform) -> Router {
    let router = routes.into_router(|endpoint, handlers| {
        let mut methods = endpoint.answered();
        methods.push("OPTIONS");
        let handlers = handlers.options(headers::describe).fallback(not_allowed);
        let handlers = match endpoint.access {
            Access::Public => handlers,
            Access::Caller => handlers.layer(from_fn_with_state(platform.clone(), auth::authenticate)),
            Access::Builder => handlers.layer(from_fn_with_state(platform.clone(), hooks::authenticate)),
        };
        handlers.layer(from_fn_with_state(Allow::new(&methods), headers::with_allow))
    });
    router
        .fallback(unknown)
        .layer(from_fn(limit_head::<Error>))
        .layer(from_fn(headers::dress))
        .with_state(platform.clone())
}

async fn not_allowed(method: Method) -> Error {
    Error::MethodNotAllowed(method)
}

async fn unknown() -> Error {
    Error::NotFound
}
