//! Lists come in pages of a hundred (spec §1.7).

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use crate::platform::{self, Listing, Page};

const SIZE: i64 = 100;
/// Highest page number that is looked at.
const PAGE_MAX: i64 = 1_000_000_000;

/// One page of a list, as the clients read it; they look at the first page only.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageOf<T> {
    /// Entries of the whole list.
    #[schema(minimum = 0)]
    count: i64,
    /// Address of the next page, null on the last.
    #[schema(required = true)]
    next: Option<String>,
    /// Address of the page before, null on the first.
    #[schema(required = true)]
    previous: Option<String>,
    /// At most a hundred.
    #[schema(max_items = 100)]
    results: Vec<T>,
}

/// Which page is asked for, and at which address.
#[derive(Debug)]
pub(super) struct Paging {
    wanted: Wanted,
    /// `http://host/v1/apps`
    address: String,
    /// The other arguments of the query, as they came.
    others: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Number(i64),
    Last,
}

impl Paging {
    /// The page that is asked for, from what `fetch` yields of a window on the list. It is called twice for the last
    /// page: where that begins is known only then.
    ///
    /// # Errors
    /// Those of `fetch`; [`Error::NotFound`] for a page that does not exist. The first always does.
    pub(super) async fn of<T, W, F>(
        &self,
        fetch: impl Fn(Page) -> F,
        shape: impl Fn(T) -> W,
    ) -> Result<Json<PageOf<W>>, Error>
    where
        F: Future<Output = Result<Listing<T>, platform::Error>>,
    {
        let number = match self.wanted {
            Wanted::Number(number) => number,
            Wanted::Last => last(fetch(window(1)).await?.total),
        };
        let found = fetch(window(number)).await?;
        let last = last(found.total);
        if number > last {
            return Err(Error::NotFound);
        }
        Ok(Json(PageOf {
            count: found.total,
            next: (number < last).then(|| self.url(number + 1)),
            previous: (number > 1).then(|| self.url(number - 1)),
            results: found.entries.into_iter().map(shape).collect(),
        }))
    }

    fn url(&self, number: i64) -> String {
        let page = format!("page={number}");
        let query: Vec<&str> = self.others.iter().chain([&page]).map(String::as_str).collect();
        format!("{}?{}", self.address, query.join("&"))
    }

    /// `None` when what is asked for cannot be a page.
    fn new(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let arguments = uri.query().unwrap_or_default().split('&').filter(|argument| !argument.is_empty());
        let (pages, others): (Vec<&str>, Vec<&str>) = arguments.partition(|argument| argument.starts_with("page="));
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let is_tls = text("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let host = text(HOST.as_str()).or(uri.authority().map(|authority| authority.as_str())).unwrap_or("localhost");
        Some(Self {
            wanted: wanted(pages.last().map(|argument| &argument["page=".len()..]))?,
            address: format!("{}://{host}{}", if is_tls { "https" } else { "http" }, uri.path()),
            others: others.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// The number of the last page of a list of so many entries.
fn last(total: i64) -> i64 {
    (total.saturating_add(SIZE - 1) / SIZE).max(1)
}

fn window(number: i64) -> Page {
    Page { offset: (number - 1) * SIZE, limit: SIZE }
}

/// Cuts the window out of a list that is there as a whole.
pub(super) fn cut<T: Clone>(all: &[T], page: Page) -> Listing<T> {
    let bound = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    Listing { total, entries: all.iter().skip(bound(page.offset)).take(bound(page.limit)).cloned().collect() }
}

fn wanted(page: Option<&str>) -> Option<Wanted> {
    match page {
        None => Some(Wanted::Number(1)),
        Some("last") => Some(Wanted::Last),
        // Bounded so that the offset stays in range.
        Some(text) => text.parse().ok().filter(|number| (1..=PAGE_MAX).contains(number)).map(Wanted::Number),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        Self::new(uri, &parts.headers).ok_or(Error::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use serde_json::{Value, json};

    use super::*;

    async fn ask(uri: &str, total: i64) -> Option<Value> {
        let headers = [(HOST, "deis.example.com".parse().unwrap())].into_iter().collect();
        let paging = Paging::new(&uri.parse().unwrap(), &headers)?;
        let all: Vec<i64> = (0..total).collect();
        match paging.of(|window| ready(Ok(cut(&all, window))), |n| n).await {
            Ok(Json(page)) => Some(serde_json::to_value(page).unwrap()),
            Err(Error::NotFound) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    #[tokio::test]
    async fn an_empty_list_has_one_page() {
        let empty = json!({"count": 0, "next": null, "previous": null, "results": []});
        assert_eq!(ask("/v1/apps", 0).await, Some(empty.clone()));
        assert_eq!(ask("/v1/apps?page=last", 0).await, Some(empty.clone()));
        assert_eq!(ask("/v1/apps?limit=1&page=1", 0).await, Some(empty));
        assert_eq!(ask("/v1/apps?page=2", 0).await, None);
    }

    #[tokio::test]
    async fn neighbours_are_absolute_and_keep_the_other_arguments() {
        let first = ask("/v1/apps?a=1&b=x%20y", 201).await.unwrap();
        assert_eq!(first["next"], "http://deis.example.com/v1/apps?a=1&b=x%20y&page=2");
        assert_eq!(first["previous"], Value::Null);
        assert_eq!(first["count"], 201);
        assert_eq!(first["results"].as_array().unwrap().len(), 100);
        let last = ask("/v1/apps?page=last", 201).await.unwrap();
        assert_eq!(last, ask("/v1/apps?page=3", 201).await.unwrap());
        assert_eq!(last["results"], json!([200]));
        assert_eq!(last["next"], Value::Null);
        assert_eq!(last["previous"], "http://deis.example.com/v1/apps?page=2");
    }

    #[tokio::test]
    async fn pages_that_do_not_exist() {
        for page in ["0", "-1", "3", "x", "", "99999999999999999999", "1000000001"] {
            assert_eq!(ask(&format!("/v1/apps?page={page}"), 200).await, None, "{page}");
        }
    }

    #[test]
    fn behind_a_tls_front_addresses_are_https() {
        let headers = [("host", "a.example.com"), ("x-forwarded-proto", "https")]
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
        let paging = Paging::new(&"/v1/apps/".parse().unwrap(), &headers.into_iter().collect());
        assert_eq!(paging.unwrap().url(2), "https://a.example.com/v1/apps/?page=2");
    }
}
