//! Lists: their envelope, their pages, their filters (spec §3).

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use crate::platform::{Listing, Page};

/// Entries of a page, if nobody asks for another number.
const LIMIT: usize = 25;
/// Most entries of a page.
const LIMIT_MAX: usize = 100;

/// A list, or a page of one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListOf<T> {
    meta: Meta,
    /// At most a hundred.
    #[schema(max_items = 100)]
    objects: Vec<T>,
}

/// Which page it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"limit": 25, "next": null, "offset": 0, "previous": null, "total_count": 1})))]
pub(super) struct Meta {
    /// Most entries of this page.
    #[schema(minimum = 1, maximum = 100)]
    limit: usize,
    /// Path and query of the next page, null on the last.
    #[schema(required = true)]
    next: Option<String>,
    /// Entries before this page.
    offset: usize,
    /// Path and query of the page before, null on the first.
    #[schema(required = true)]
    previous: Option<String>,
    /// Entries of the whole list, as far as they match the filters.
    total_count: usize,
}

/// Which entries are asked for, and which page of them.
#[derive(Debug)]
pub(super) struct Query {
    /// `/api/v1/application/`
    path: String,
    limit: usize,
    offset: usize,
    /// The other parameters. Of a repeated one only the last is here.
    filters: Vec<(String, String)>,
}

impl Query {
    /// What the filter of that name asks for.
    pub(super) fn filter(&self, name: &str) -> Option<String> {
        self.filters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// The window on the list that is asked for.
    pub(super) fn window(&self) -> Page {
        let bound = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Page { offset: bound(self.offset), limit: bound(self.limit) }
    }

    /// The page that is asked for: what was found in [`Query::window`].
    pub(super) fn page<T, W>(&self, found: Listing<T>, shape: impl FnMut(T) -> W) -> Json<ListOf<W>> {
        let total_count = usize::try_from(found.total).unwrap_or_default();
        let after = self.offset.saturating_add(self.limit);
        let meta = Meta {
            limit: self.limit,
            next: (after < total_count).then(|| self.url(after)),
            offset: self.offset,
            previous: self.offset.checked_sub(self.limit).map(|before| self.url(before)),
            total_count,
        };
        Json(ListOf { meta, objects: found.entries.into_iter().map(shape).collect() })
    }

    /// The page that is asked for, of all that there is.
    pub(super) fn page_of<T, W>(&self, all: Vec<T>, shape: impl FnMut(T) -> W) -> Json<ListOf<W>> {
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let entries = all.into_iter().skip(self.offset).take(self.limit).collect();
        self.page(Listing { total, entries }, shape)
    }

    fn url(&self, offset: usize) -> String {
        let (limit, offset) = (("limit".to_owned(), self.limit.to_string()), ("offset".to_owned(), offset.to_string()));
        let parameters: Vec<&(String, String)> = self.filters.iter().chain([&limit, &offset]).collect();
        let query = serde_urlencoded::to_string(parameters).expect("pairs of texts can be written as a query");
        format!("{}?{query}", self.path)
    }

    fn new(uri: &Uri) -> Result<Self, Error> {
        let given: Vec<(String, String)> = serde_urlencoded::from_str(uri.query().unwrap_or_default())
            .map_err(|_| Error::Unparsable("The query cannot be read as NAME=VALUE&NAME=VALUE.".to_owned()))?;
        let mut filters: Vec<(String, String)> = Vec::new();
        for (name, value) in given {
            filters.retain(|(known, _)| *known != name);
            filters.push((name, value));
        }
        let (mut limit, mut offset) = (LIMIT, 0);
        for (name, value) in &filters {
            match name.as_str() {
                "limit" => limit = number("limit", value)?,
                "offset" => offset = number("offset", value)?,
                _ => {}
            }
        }
        filters.retain(|(name, _)| name != "limit" && name != "offset");
        let limit = if limit == 0 { LIMIT_MAX } else { limit.min(LIMIT_MAX) };
        let path = format!("{}/", uri.path().trim_end_matches('/'));
        Ok(Self { path, limit, offset, filters })
    }
}

fn number(name: &'static str, text: &str) -> Result<usize, Error> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || Error::invalid(name, format!("{name} has to be a whole number, 0 or more."));
    // Whatever is beyond the end of a list is as far beyond it as anything else.
    if is_number { Ok(text.parse().unwrap_or(usize::MAX)) } else { Err(wrong()) }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::new(parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ask(uri: &str, total: i64) -> Option<Value> {
        let query = Query::new(&uri.parse().unwrap()).ok()?;
        let Json(list) = query.page_of((0..total).collect(), |n| n);
        Some(serde_json::to_value(list).unwrap())
    }

    #[test]
    fn pages_and_their_neighbours() {
        let meta = |uri: &str, total: i64| ask(uri, total).unwrap()["meta"].clone();
        let empty = json!({"limit": 25, "next": null, "offset": 0, "previous": null, "total_count": 0});
        assert_eq!(ask("/api/v1/application/", 0).unwrap(), json!({"meta": empty, "objects": []}));
        assert_eq!(meta("/api/v1/application", 25)["next"], Value::Null);
        assert_eq!(meta("/api/v1/application", 26)["next"], "/api/v1/application/?limit=25&offset=25");
        let third = ask("/x/?limit=2&offset=4&name=a%20b&state=Partly+running", 9).unwrap();
        assert_eq!(third["objects"], json!([4, 5]));
        assert_eq!(third["meta"]["next"], "/x/?name=a+b&state=Partly+running&limit=2&offset=6");
        assert_eq!(third["meta"]["previous"], "/x/?name=a+b&state=Partly+running&limit=2&offset=2");
        assert_eq!(meta("/x/?limit=2&offset=1", 9)["previous"], Value::Null);
        let beyond = ask("/x/?offset=99999999999999999999999", 9).unwrap();
        assert_eq!((&beyond["objects"], &beyond["meta"]["next"]), (&json!([]), &Value::Null));
    }

    #[test]
    fn limits_are_bounded() {
        for (given, applied) in [("0", 100), ("1", 1), ("100", 100), ("101", 100), ("99999999999999999999999", 100)] {
            assert_eq!(ask(&format!("/x/?limit={given}"), 0).unwrap()["meta"]["limit"], applied, "{given}");
        }
        assert_eq!(ask("/x/?limit=3&limit=4", 0).unwrap()["meta"]["limit"], 4, "the last one counts");
        for wrong in ["limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5", "limit=+1"] {
            assert!(ask(&format!("/x/?{wrong}"), 0).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_last_filter_of_a_name_counts() {
        let query = Query::new(&"/x/?name=b&name=a+b&uuid__startswith=6f".parse().unwrap()).unwrap();
        assert_eq!(query.filter("name").as_deref(), Some("a b"));
        assert_eq!(query.filter("uuid__startswith").as_deref(), Some("6f"));
        assert_eq!(query.filter("state"), None);
    }
}
