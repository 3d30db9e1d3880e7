//! SQL lives here and nowhere else: one file per noun, one set of queries for SQLite and PostgreSQL.
//!
//! Functions take an executor, so that each serves the pool and a transaction; `platform` and the stages decide where a
//! transaction begins and ends. Nothing waits for anything but the database inside one.

pub mod api_keys;
pub mod apps;
pub mod automatic_certificates;
pub mod build_records;
pub mod builds;
pub mod certificates;
pub mod collaborators;
pub mod configs;
pub mod cron;
mod database;
pub mod domains;
mod error;
pub mod formations;
pub mod group_instances;
pub mod instances;
mod journal;
pub mod kept;
pub mod log_drains;
pub mod operations;
pub mod process_groups;
pub mod pushes;
pub mod quotas;
pub mod rebases;
pub mod releases;
pub mod routing;
mod rows;
mod seal;
pub mod settings;
pub mod ssh_keys;
pub mod users;

pub use database::{Store, Transaction};
pub use error::StoreError;
pub use journal::{Journal, JournalError};
pub use rows::Page;
pub use seal::{SealError, Sealer, digest, random_hex};

#[cfg(test)]
mod tests;
