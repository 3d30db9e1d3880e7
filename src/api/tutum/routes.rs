//! What this door lays around the endpoints of its table.

use axum::Router;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};

use super::error::Error;
use super::{auth, headers};
use crate::api::limits::limit_head;
use crate::api::routes::{Allow, Routes};
use crate::platform::Platform;

/// The door. Who is calling is asked before anything else (spec §1.11), also where there is nothing: only what is public is
/// beside that.
pub(super) fn finish(routes: Routes, platform: &Platform) -> Router {
    let framed = |routes: Routes| {
        routes.into_router(|endpoint, handlers| {
            let allow = Allow::new(&endpoint.answered());
            handlers.fallback(not_allowed).layer(from_fn_with_state(allow, headers::with_allow))
        })
    };
    let (public, others) = routes.by_access();
    let asked = from_fn_with_state(platform.clone(), auth::authenticate);
    framed(public)
        .merge(framed(others).fallback(unknown).layer(asked))
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
