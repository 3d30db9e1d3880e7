//! How things stand, for those who watch the server: is it ready, how much is there of what.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::timeout;

use super::Platform;
use crate::store::{apps, instances};
use crate::telemetry::metrics::{Standing, metrics};

/// How long a part may take to answer.
const PART_LIMIT: Duration = Duration::from_secs(3);

/// Whether the server can do its work now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Why the database cannot be used.
    pub database: Option<String>,
    /// Why the container engine cannot be used.
    pub engine: Option<String>,
    /// Whether the server is on its way out.
    pub is_stopping: bool,
}

impl Readiness {
    /// Whether new work can be taken. Apps that run are served in any case.
    pub fn is_ready(&self) -> bool {
        self == &Self::default()
    }
}

impl Platform {
    /// Asks what the server cannot do without; takes three seconds at most.
    pub async fn readiness(&self) -> Readiness {
        let (database, engine) =
            tokio::join!(trouble(apps::count(self.0.store.pool(), None)), trouble(self.0.engine.info()),);
        Readiness { database, engine, is_stopping: self.0.stop.is_cancelled() }
    }

    /// Everything that is counted, in Prometheus's text format. While the database is away the numbers of apps and instances
    /// are missing; takes three seconds at most.
    pub async fn metrics(&self) -> Vec<u8> {
        let pool = self.0.store.pool();
        let counted = async {
            Ok::<_, crate::store::StoreError>((apps::count(pool, None).await?, instances::count_by_state(pool).await?))
        };
        let (building, waiting) = self.0.builder.queue_lengths();
        let mut standing = Standing {
            building: gauge(building),
            waiting: gauge(waiting),
            operations: gauge(self.0.owned.count()),
            ..Standing::default()
        };
        match timeout(PART_LIMIT, counted).await {
            Ok(Ok((apps, instances))) => {
                standing.apps = Some(apps);
                standing.instances = instances.into_iter().map(|(state, count)| (state.to_string(), count)).collect();
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot count apps and instances"),
            Err(_) => tracing::warn!(limit_s = PART_LIMIT.as_secs(), "the database does not answer"),
        }
        metrics().text(&standing)
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Why a part does not answer, if it does not.
async fn trouble<T, E: Display>(part: impl Future<Output = Result<T, E>>) -> Option<String> {
    match timeout(PART_LIMIT, part).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", PART_LIMIT.as_secs())),
    }
}
