//! `/docs`: the reference of every door, for people. One page, rendered from the documents that the doors make of
//! themselves; it needs no script and nothing from elsewhere.

mod curl;
mod html;
mod operation;
mod schema;

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use serde_json::Value;

use super::{deis, tutum};
use html::{escape, prose};

const STYLE: &str = include_str!("docs/page.css");
/// The page has no script and loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Order of methods in the page.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

static PAGE: LazyLock<String> = LazyLock::new(|| render(&doors()));

/// A door, as the page shows it.
struct Door {
    /// What the anchors of the door begin with.
    id: &'static str,
    /// What it is called in the contents.
    name: &'static str,
    /// Where it is mounted.
    mount: &'static str,
    /// What requests carry in `Authorization`, for a shell.
    credentials: &'static str,
    /// What an error says, as HTML.
    errors: &'static str,
    document: &'static Value,
}

/// The doors of this server, in the order of the page.
fn doors() -> Vec<Door> {
    vec![
        Door {
            id: "deis",
            name: "Deis",
            mount: "/v1",
            credentials: "token $TOKEN",
            errors: "An error says what is wrong in <code>detail</code>, or, where fields of the request are wrong, under the \
                     name of each.",
            document: deis::document(),
        },
        Door {
            id: "tutum",
            name: "Tutum",
            mount: "/api/v1",
            credentials: "ApiKey $USERNAME:$APIKEY",
            errors: "An error says what is wrong in <code>error</code>, and about which member of the request in \
                     <code>field</code>.",
            document: tutum::document(),
        },
    ]
}

/// `GET /docs`
pub(super) async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE.as_str())
}

fn render(doors: &[Door]) -> String {
    let contents: String = doors.iter().map(contents).collect();
    let chapters: String = doors.iter().map(chapter).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Slipway API reference</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the reference</a>\n\
         <nav aria-label=\"Contents\"><a class=\"brand\" href=\"#main\">Slipway <span>API reference</span></a>\n{contents}</nav>\n\
         <main id=\"main\">\n{chapters}</main>\n</body>\n</html>\n"
    )
}

/// Operations of one tag, in the order of the door's table: method, path, operation.
fn of_tag<'a>(document: &'a Value, tag: &str) -> Vec<(&'static str, &'a str, &'a Value)> {
    let mut paths: Vec<(&String, &Value)> = document["paths"].as_object().into_iter().flatten().collect();
    paths.sort_by_key(|(_, item)| item["x-place"].as_u64());
    let operations = paths.into_iter();
    operations
        .flat_map(|(path, item)| METHODS.map(|method| (method, path.as_str(), &item[method])))
        .filter(|(_, _, operation)| operation["tags"][0] == *tag)
        .collect()
}

fn tags(document: &Value) -> impl Iterator<Item = (&str, &str)> {
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| Some((tag["name"].as_str()?, tag["description"].as_str().unwrap_or_default())))
}

fn contents(door: &Door) -> String {
    let entry = |(method, path, operation): (&str, &str, &Value)| {
        format!(
            "<li><a href=\"#{}\"><span class=\"m {method}\">{method}</span> <span>{}</span></a></li>\n",
            operation::anchor(door.id, operation),
            html::path(path.strip_prefix(door.mount).unwrap_or(path)),
        )
    };
    let group = |(tag, _): (&str, &str)| {
        let entries: String = of_tag(door.document, tag).into_iter().map(entry).collect();
        format!(
            "<section><h2><a href=\"#{0}-{1}\">{1}</a></h2>\n<ul>\n{entries}</ul></section>\n",
            door.id,
            escape(tag)
        )
    };
    let groups: String = tags(door.document).map(group).collect();
    format!(
        "<p class=\"door\"><a href=\"#{0}\">{1}</a></p>\n{groups}\
         <section><h2><a href=\"#{0}-errors\">errors</a></h2></section>\n",
        door.id, door.name
    )
}

fn chapter(door: &Door) -> String {
    let info = &door.document["info"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let noun = |(tag, sentence): (&str, &str)| {
        let operations: String = (of_tag(door.document, tag).into_iter())
            .map(|(method, path, operation)| operation::section(door, method, path, operation))
            .collect();
        let id = format!("{}-{}", door.id, escape(tag));
        format!(
            "<section class=\"noun\" id=\"{id}\">\n<h2>{}</h2>\n<p class=\"lead\">{}</p>\n{operations}</section>\n",
            escape(tag),
            escape(sentence)
        )
    };
    let nouns: String = tags(door.document).map(noun).collect();
    format!(
        "<header id=\"{}\">\n<h1>{}</h1>\n{}<p class=\"source\">Version {} · <a href=\"{}/openapi.json\">OpenAPI document</a></p>\n\
         </header>\n{nouns}{}",
        door.id,
        escape(&text(&info["title"])),
        prose(&text(&info["description"])),
        escape(&text(&info["version"])),
        door.mount,
        errors(door),
    )
}

/// What many endpoints can answer, once.
fn errors(door: &Door) -> String {
    let responses = door.document["components"]["responses"].as_object().into_iter().flatten();
    let mut rows: Vec<(&str, &Value)> =
        responses.filter_map(|(_, error)| Some((error["x-status"].as_str()?, error))).collect();
    rows.sort_by_key(|(status, _)| *status);
    let row = |(status, error): (&str, &Value)| {
        format!(
            "<div class=\"answer\" id=\"{}-error-{status}\"><h4><span class=\"status bad\">{status}</span> {}</h4>\n{}</div>\n",
            door.id,
            escape(error["description"].as_str().unwrap_or_default()),
            html::json(&error["content"]["application/json"]["example"]),
        )
    };
    let rows: String = rows.into_iter().map(row).collect();
    format!(
        "<section class=\"noun\" id=\"{}-errors\">\n<h2>errors</h2>\n<p class=\"lead\">{}</p>\n{rows}</section>\n",
        door.id, door.errors
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_of_every_door() {
        let page = render(&doors());
        for door in doors() {
            let operations: Vec<_> = tags(door.document).flat_map(|(tag, _)| of_tag(door.document, tag)).collect();
            assert!(operations.len() > 20, "{} operations", operations.len());
            for (method, path, operation) in operations {
                let anchor = operation::anchor(door.id, operation);
                assert!(page.contains(&format!("id=\"{anchor}\"")), "{method} {path} has no section");
                assert!(page.contains(&format!("href=\"#{anchor}\"")), "{method} {path} is not in the contents");
            }
        }
    }

    #[test]
    fn the_page_stands_alone_and_every_link_in_it_leads_somewhere() {
        let page = render(&doors());
        for foreign in ["<script", "<link", "<img", "src=", "url(", "@import", "http-equiv"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            match link.strip_prefix('#') {
                Some(id) => assert!(page.contains(&format!("id=\"{id}\"")), "#{id} leads nowhere"),
                None => assert!(link.ends_with("/v1/openapi.json"), "{link}"),
            }
        }
    }

    #[test]
    fn what_stands_open_is_closed() {
        let page = render(&doors());
        for tag in [
            "section", "table", "tr", "td", "th", "p", "pre", "code", "div", "ul", "li", "dl", "details", "span", "h3",
            "h4",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "<{tag}>");
        }
    }
}
