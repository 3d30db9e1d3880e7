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

impl StoreError {
    /// What keeps the database from its work, where that is nothing of ours and may pass by itself or by the operator's
    /// hand; `None` for everything else.
    pub fn outage(&self) -> Option<&'static str> {
        let Self::Database(error) = self else { return None };
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_) => Some("it does not answer"),
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                // SQLite's result codes (an extended one has the primary one in its lowest byte), PostgreSQL's SQLSTATE.
                let primary = code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff);
                match (primary, &*code) {
                    (Some(13), _) | (_, "53100") => Some("its disk is full"),
                    (Some(5 | 6), _) => Some("another program keeps it locked"),
                    (Some(8), _) | (_, "25006") => Some("it takes no writes"),
                    (Some(10 | 14), _) => Some("its files cannot be read or written"),
                    (_, "57P01" | "57P02" | "57P03" | "53300") => Some("it does not answer"),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_from_a_fault_of_ours() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(StoreError::from(sqlx::Error::Io(io)).outage(), Some("it does not answer"));
        assert_eq!(StoreError::from(sqlx::Error::RowNotFound).outage(), None);
        assert_eq!(StoreError::Duplicate.outage(), None);
    }
}
