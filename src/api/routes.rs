//! The table of a door's endpoints: which handler for which method on which path, and who may ask.

use axum::Router;
use axum::handler::Handler;
use axum::http::HeaderValue;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::platform::Platform;

/// Collects endpoints. What a door answers to methods that a path has not, and how it asks who is calling, is its own.
///
/// Whoever adds an endpoint decides who may ask by the method that adds it.
#[derive(Default)]
pub(super) struct Routes(Vec<Endpoint>);

/// Who may ask, before an endpoint looks at the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Public,
    /// Whoever has the door's kind of credential.
    Caller,
    /// The operator's own builder.
    Builder,
}

/// One path with all its methods.
pub(super) struct Endpoint {
    path: &'static str,
    pub access: Access,
    /// Upper case, as they were added.
    pub methods: Vec<&'static str>,
    handlers: MethodRouter<Platform>,
}

impl Endpoint {
    /// The path as the document has it, without the mark of a parameter that takes the rest of the path.
    pub(super) fn described_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The methods that the path answers: those that were added, and HEAD beside GET.
    pub(super) fn answered(&self) -> Vec<&'static str> {
        let head = self.methods.contains(&"GET").then_some("HEAD");
        self.methods.iter().copied().chain(head).collect()
    }
}

/// The methods of one path, for `Allow`.
#[derive(Clone)]
pub(super) struct Allow(pub HeaderValue);

impl Allow {
    pub(super) fn new(methods: &[&str]) -> Self {
        Self(HeaderValue::from_str(&methods.join(", ")).expect("methods are ASCII"))
    }
}

impl Routes {
    /// What has been collected.
    pub(super) fn endpoints(self) -> Vec<Endpoint> {
        self.0
    }

    /// All paths as a router; `frame` makes of a path's handlers what answers there.
    pub(super) fn into_router(
        self,
        frame: impl Fn(&Endpoint, MethodRouter<Platform>) -> MethodRouter<Platform>,
    ) -> Router<Platform> {
        self.0.into_iter().fold(Router::new(), |router, mut endpoint| {
            let handlers = std::mem::take(&mut endpoint.handlers);
            router.route(endpoint.path, frame(&endpoint, handlers))
        })
    }

    /// Those that anybody may ask, and the others.
    pub(super) fn by_access(self) -> (Self, Self) {
        let (public, others) = self.0.into_iter().partition(|endpoint| endpoint.access == Access::Public);
        (Self(public), Self(others))
    }

    /// A GET that anybody may ask.
    pub(super) fn get_public<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Public, "GET", on(MethodFilter::GET, handler))
    }

    pub(super) fn get<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Caller, "GET", on(MethodFilter::GET, handler))
    }

    pub(super) fn post<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Caller, "POST", on(MethodFilter::POST, handler))
    }

    pub(super) fn delete<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Caller, "DELETE", on(MethodFilter::DELETE, handler))
    }

    pub(super) fn patch<T: 'static>(self, path: &'static str, handler: impl Handler<T, Platform>) -> Self {
        self.add(path, Access::Caller, "PATCH", on(MethodFilter::PATCH, handler))
    }

    /// A POST that anybody may ask.
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
}
