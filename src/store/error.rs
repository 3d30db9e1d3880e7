//! What the database refused, sorted by what the caller does about it.

use sqlx::error::ErrorKind;

use super::seal::SealError;

/// Why a query did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with the same unique value exists.
    #[error("a row with the same unique value exists")]
    Duplicate,
    /// The row refers to one that does not exist, or is referred to by one that does.
    #[error("a row refers to one that does not exist")]
    Dangling,
    /// A stored value cannot be read back as what it should be.
    #[error("column {column} holds '{value}', which is not valid there")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// What it holds; never a secret.
        value: String,
    },
    /// A sealed value cannot be opened with this installation's key.
    #[error("a sealed value cannot be opened; was the secrets key replaced?")]
    Sealed(#[from] SealError),
    /// The database is away, full, locked for too long, or broken.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be migrated")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().map(|e| e.kind()) {
            Some(ErrorKind::UniqueViolation) => Self::Duplicate,
            Some(ErrorKind::ForeignKeyViolation) => Self::Dangling,
            _ => Self::Database(error),
        }
    }
}
