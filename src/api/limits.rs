//! Bounds of what a request may carry before its body. Each door says it in its own shape.

use std::time::Duration;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Most bytes of all header names and values together.
pub const HEADERS_MAX: usize = 16 << 10;
/// Most bytes of the request target.
pub const TARGET_MAX: usize = 8 << 10;
/// What a listener reads of a head at most: more than both bounds, so that a request just beyond them still gets the
/// answer of its door.
pub const READ_BUFFER: usize = 64 << 10;

/// What is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// The headers together.
    Headers,
    /// The request target.
    Target,
}

/// A time to wait as `Retry-After` has it: in whole seconds, rounded up (RFC 9110 §10.2.3).
pub(super) fn retry_after(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}

/// Refuses a request whose head is too long, in the words of the door's error.
pub(super) async fn limit_head<E: From<Excess> + IntoResponse>(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match excess(&head) {
        Some(excess) => E::from(excess).into_response(),
        None => next.run(Request::from_parts(head, body)).await,
    }
}

/// What of a request's head is too long.
fn excess(head: &Parts) -> Option<Excess> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_MAX {
        return Some(Excess::Target);
    }
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (headers > HEADERS_MAX).then_some(Excess::Headers)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_wait_is_never_said_to_be_shorter_than_it_is() {
        for (millis, expect) in [(0, 1), (1000, 1), (1001, 2), (9000, 9)] {
            assert_eq!(retry_after(Duration::from_millis(millis)), expect);
        }
    }

    #[test]
    fn both_bounds_are_looked_at() {
        let check = |target: usize, headers: usize, expect: Option<Excess>| {
            let request = Request::get(format!("/{}", "a".repeat(target - 1))).header("x", "v".repeat(headers - 1));
            assert_eq!(excess(&request.body(()).unwrap().into_parts().0), expect, "{target} {headers}");
        };
        check(TARGET_MAX, HEADERS_MAX, None);
        check(TARGET_MAX + 1, 1, Some(Excess::Target));
        check(1, HEADERS_MAX + 1, Some(Excess::Headers));
    }
}
