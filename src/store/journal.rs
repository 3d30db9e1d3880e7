//! The journal of a running operation: each step is recorded here before it is done.

use super::{Store, StoreError, operations};
use crate::model::{IllegalStep, Operation, OperationStatus, Step};

/// Why a step could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The code tried to go where its kind of operation cannot go.
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
}

/// Writes down what an operation is about to do, so that another life of the server can finish or undo it.
#[derive(Clone)]
pub struct Journal {
    store: Store,
    operation: Operation,
}

impl Journal {
    /// The journal of an operation that holds its app's lock.
    pub fn new(store: Store, operation: Operation) -> Self {
        Self { store, operation }
    }

    /// The operation as it was last written.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Records `step` as the next thing to be done.
    pub async fn step(&mut self, step: Step) -> Result<(), JournalError> {
        self.operation.step = self.operation.step.advance(self.operation.kind, step)?;
        operations::set_step(self.store.pool(), &self.operation.id, step).await?;
        tracing::debug!(operation.id = %self.operation.id, operation.step = %step, "step recorded");
        self.pause().await;
        Ok(())
    }

    /// Records `step` in the transaction that does it: both happen or neither.
    pub async fn step_in(&mut self, tx: &mut super::Transaction, step: Step) -> Result<(), JournalError> {
        self.operation.step = self.operation.step.advance(self.operation.kind, step)?;
        operations::set_step(&mut **tx, &self.operation.id, step).await?;
        Ok(())
    }

    /// Ends the operation and gives the app's lock back.
    pub async fn finish(&self, status: OperationStatus, error: &str) -> Result<(), StoreError> {
        operations::finish(self.store.pool(), &self.operation.id, status, error).await
    }

    /// Debug builds stop after the recorded step that the file `SLIPWAY_PAUSE_FILE` names (`push:release`), as long as it
    /// does, so that a test can bring trouble at exactly that moment.
    pub async fn pause(&self) {
        #[cfg(debug_assertions)]
        if let Some(file) = std::env::var_os("SLIPWAY_PAUSE_FILE") {
            let place = format!("{}:{}", self.operation.kind, self.operation.step);
            let is_named = || std::fs::read_to_string(&file).is_ok_and(|named| named == place);
            if is_named() {
                tracing::warn!(%place, "paused for a test");
            }
            while is_named() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}
