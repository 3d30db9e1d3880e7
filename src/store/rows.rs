//! Reading typed values out of rows.

use std::str::FromStr;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::StoreError;
use crate::model::Timestamp;

/// A window on a list: skip `offset` rows, then at most `limit`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Rows to skip.
    pub offset: i64,
    /// Most rows to return.
    pub limit: i64,
}

impl Page {
    /// Everything.
    pub const ALL: Self = Self { offset: 0, limit: i64::MAX };
}

pub(super) fn text(row: &AnyRow, column: &'static str) -> Result<String, StoreError> {
    Ok(row.try_get(column)?)
}

pub(super) fn maybe_text(row: &AnyRow, column: &'static str) -> Result<Option<String>, StoreError> {
    Ok(row.try_get(column)?)
}

pub(super) fn integer(row: &AnyRow, column: &'static str) -> Result<i64, StoreError> {
    Ok(row.try_get(column)?)
}

pub(super) fn flag(row: &AnyRow, column: &'static str) -> Result<bool, StoreError> {
    Ok(integer(row, column)? != 0)
}

pub(super) fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(integer(row, column)?))
}

/// A text column through its type's one parser.
pub(super) fn parsed<T: FromStr>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let value = text(row, column)?;
    value.parse().map_err(|_| StoreError::Corrupt { column, value })
}

pub(super) fn maybe_parsed<T: FromStr>(row: &AnyRow, column: &'static str) -> Result<Option<T>, StoreError> {
    maybe_text(row, column)?.map(|value| value.parse().map_err(|_| StoreError::Corrupt { column, value })).transpose()
}

/// A number that fits a narrower type.
pub(super) fn narrow<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let value = integer(row, column)?;
    T::try_from(value).map_err(|_| StoreError::Corrupt { column, value: value.to_string() })
}
