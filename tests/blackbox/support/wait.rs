//! Waiting by looking, never by guessing a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// For what takes a moment: a row, a container's end, a file.
pub const SHORT: Duration = Duration::from_secs(15);
/// For what builds or boots.
pub const LONG: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(50);

/// Looks until there is something to see, and yields it.
///
/// # Errors
/// What the last look said, when `limit` has passed.
pub async fn look_until<T>(limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await {
            Ok(seen) => return Ok(seen),
            Err(last) if Instant::now() >= deadline => return Err(last),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Looks until there is something to see, and yields it.
///
/// # Panics
/// When `limit` has passed, with what the last look said.
pub async fn wait_until<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    match look_until(limit, look).await {
        Ok(seen) => seen,
        Err(last) => panic!("waited {} s until {what}; at last: {last}", limit.as_secs()),
    }
}
