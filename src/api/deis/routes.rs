//! The table of endpoints: which handler for which method on which path, and who may ask.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::error::Error;
use super::{auth, headers, hooks};
use crate::platform::Platform;

/// Collects endpoints. Every path that it knows answers HEAD and OPTIONS too, and 405 to any other method, with the
/// list of its methods in `Allow` on every answer.
///
/// Whoever adds an endpoint decides who may ask by the method that adds it.
#[derive(Default)]
pub(super) struct Routes(Vec<Endpoint>);

/// Who may ask, before an endpoint looks at the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Public,
    /// Whoever has a token.
    Token,
    /// The operator's own builder.
    Builder,
}

/// One path with all its methods.
pub(super) struct Endpoint {
    path: &'static str,
    pub access: Access,
    /// Upper case, without those that every path has.
    pub methods: Vec<&'static str>,
    handlers: MethodRouter<Platform>,
}

impl Endpoint {
    /// The path as the document has it, without the mark of a parameter that takes the rest of the path.
    pub(super) fn described_path(&self) -> String {
        self.path.replace("{*", "{")
    }
}

impl Routes {
    /// What has been collected.
    pub(super) fn endpoints(self) -> Vec<Endpoint> {
        self.0
    }

    /// A GET that needs no token.
    pub(super) fn get_public<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Public, "GET", on(MethodFilter::GET, handler))
    }

    pub(super) fn get<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Token, "GET", on(MethodFilter::GET, handler))
    }

    pub(super) fn post<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Token, "POST", on(MethodFilter::POST, handler))
    }

    pub(super) fn delete<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Token, "DELETE", on(MethodFilter::DELETE, handler))
    }

    pub(super) fn patch<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Token, "PATCH", on(MethodFilter::PATCH, handler))
    }

    /// A POST that needs no token.
    pub(super) fn post_public<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Public, "POST", on(MethodFilter::POST, handler))
    }

    /// A POST for the operator's own builder.
    pub(super) fn post_hook<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Builder, "POST", on(MethodFilter::POST, handler))
    }

    fn add(
        mut self,
        path: &'static str,
        access: Access,
        method: &'static str,
        handler: MethodRouter<Platform>,
    ) -> Self {
        match self.0.iter_mut().find(|endpoint| endpoint.path == path) {
            Some(endpoint) => {
                assert_eq!(endpoint.access, access, "{path}: who may ask is decided per path");
                endpoint.methods.push(method);
                endpoint.handlers = std::mem::take(&mut endpoint.handlers).merge(handler);
            }
            None => self.0.push(Endpoint { path, access, methods: vec![method], handlers: handler }),
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
            handlers = match endpoint.access {
                Access::Public => handlers,
                Access::Token => handlers.layer(from_fn_with_state(platform.clone(), auth::authenticate)),
                Access::Builder => handlers.layer(from_fn_with_state(platform.clone(), hooks::authenticate)),
            };
            router = router.route(endpoint.path, handlers.layer(from_fn_with_state(allow, headers::with_allow)));
        }
        router
            .fallback(unknown)
            .layer(from_fn(headers::limit_head))
            .layer(from_fn(headers::dress))
            .with_state(platform.clone())
    }
}

async fn not_allowed(method: Method) -> Error {
    Error::MethodNotAllowed(method)
}

async fn unknown() -> Error {
    Error::NotFound
}
