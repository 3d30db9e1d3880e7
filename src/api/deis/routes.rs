//! The table of endpoints: which handler for which method on which path, and who may ask.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::error::Error;
use super::{auth, headers};
use crate::platform::Platform;

/// Collects endpoints. Every path that it knows answers HEAD and OPTIONS too, and 405 to any other method, with the
/// list of its methods in `Allow` on every answer.
#[derive(Default)]
pub(super) struct Routes(Vec<Endpoint>);

struct Endpoint {
    path: &'static str,
    is_public: bool,
    methods: Vec<&'static str>,
    handlers: MethodRouter<Platform>,
}

impl Routes {
    pub(super) fn get<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, false, "GET", on(MethodFilter::GET, handler))
    }

    pub(super) fn post<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, false, "POST", on(MethodFilter::POST, handler))
    }

    pub(super) fn delete<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, false, "DELETE", on(MethodFilter::DELETE, handler))
    }

    /// A POST that needs no token.
    pub(super) fn post_public<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, true, "POST", on(MethodFilter::POST, handler))
    }

    fn add(
        mut self,
        path: &'static str,
        is_public: bool,
        method: &'static str,
        handler: MethodRouter<Platform>,
    ) -> Self {
        match self.0.iter_mut().find(|endpoint| endpoint.path == path) {
            Some(endpoint) => {
                endpoint.methods.push(method);
                endpoint.handlers = std::mem::take(&mut endpoint.handlers).merge(handler);
            }
            None => self.0.push(Endpoint { path, is_public, methods: vec![method], handlers: handler }),
        }
        self
    }

    /// The door. Of the layers, the one added last sees a request first: version, then token, then method.
    pub(super) fn finish(self, platform: &Platform) -> Router {
        let mut router = Router::new();
        for mut endpoint in self.0 {
            if endpoint.methods.contains(&"GET") {
                endpoint.methods.push("HEAD");
            }
            endpoint.methods.push("OPTIONS");
            let allow = headers::Allow::new(&endpoint.methods);
            let mut handlers = endpoint.handlers.options(headers::describe).fallback(not_allowed);
            if !endpoint.is_public {
                handlers = handlers.layer(from_fn_with_state(platform.clone(), auth::authenticate));
            }
            router = router.route(endpoint.path, handlers.layer(from_fn_with_state(allow, headers::with_allow)));
        }
        router.fallback(unknown).layer(from_fn(headers::dress)).with_state(platform.clone())
    }
}

async fn not_allowed(method: Method) -> Error {
    Error::MethodNotAllowed(method)
}

async fn unknown() -> Error {
    Error::NotFound
}
