//! What holds for every endpoint: headers, slashes, methods, bodies, pages (spec §1, §3).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Slipway, Tutum, raw_request};

async fn send(request: reqwest::RequestBuilder, what: &str) -> Answer {
    Answer::to(request, what).await.unwrap_or_else(|error| panic!("{error}"))
}

const NOBODY: &str = "/application/6fe5029e-c125-4088-9b9a-4e74da20ac58/";

#[tokio::test]
async fn answers_look_alike_whatever_comes_of_a_request() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let form = bob.request(Method::POST, "/application/").body("a=1").header("Content-Type", "text/plain");
    let answers = [
        (200, bob.get("/application/").await),
        (200, bob.get("/role/global/").await),
        (400, bob.post("/application/", &json!({})).await),
        (400, bob.get("/application/?limit=x").await),
        (401, send(server.http().get(format!("http://{}/api/v1/application/", server.addresses().api)), "GET").await),
        (404, bob.get(NOBODY).await),
        (404, bob.get("/nothing/").await),
        (405, bob.ask(Method::PUT, NOBODY, None).await),
        (415, send(form, "POST text/plain").await),
    ];
    for (status, answer) in answers {
        let answer = answer.expect(status);
        assert_eq!(answer.header("Content-Type"), "application/json", "{}", answer.asked);
        assert_eq!(answer.header("Cache-Control"), "must-revalidate, max-age=0", "{}", answer.asked);
        assert_eq!(answer.header("Vary"), "Accept, Authorization, Cookie", "{}", answer.asked);
        let body = answer.json();
        assert_eq!(body["error"].is_string(), status >= 400, "{}: {body}", answer.asked);
        assert!(body.is_object());
    }
    let field = bob.post("/application/", &json!({"image": "a", "container_size": "XXL"})).await.expect(400).json();
    assert_eq!(field["field"], "container_size");
    for accept in ["application/json", "*/*", "text/html"] {
        let request = bob.request(Method::GET, "/application/").header("Accept", accept);
        assert_eq!(send(request, accept).await.expect(200).header("Content-Type"), "application/json");
    }
}

#[tokio::test]
async fn slashes_methods_and_bodies() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    for path in ["/application/", "/application", "/role/global", "/role/global/", "/auth"] {
        let expect = if path == "/auth" { 401 } else { 200 };
        bob.get(path).await.expect(expect);
    }
    bob.post("/application", &json!({})).await.expect(400);
    for (method, path, allowed) in [
        (Method::PUT, NOBODY, ["GET", "PATCH", "DELETE", "HEAD"].as_slice()),
        (Method::POST, "/container/", &["GET", "HEAD"]),
        (Method::PATCH, "/container/6fe5029e-c125-4088-9b9a-4e74da20ac58/", &["GET", "DELETE", "HEAD"]),
        (Method::DELETE, "/role/", &["GET", "HEAD"]),
        (Method::GET, &format!("{NOBODY}start/"), &["POST"]),
        (Method::DELETE, "/auth/", &["GET", "HEAD"]),
    ] {
        let answer = bob.ask(method, path, None).await.expect(405);
        let mut said: Vec<&str> = answer.header("Allow").split(", ").collect();
        let mut allowed = allowed.to_vec();
        said.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(said, allowed, "{}", answer.asked);
    }
    // Nothing is an empty object, whatever its type; what is no object is refused.
    let body = |text: &'static str, media: &str| {
        let request = bob.request(Method::POST, "/application/").body(text);
        let request = request.header("Content-Type", media);
        async move { send(request, text).await }
    };
    for (text, expect) in [("", 400), ("{}", 400), ("{", 400), ("[]", 400), ("null", 400), ("\"a\"", 400)] {
        let answer = body(text, "application/json").await.expect(expect).json();
        assert_eq!(answer["field"] == "image", matches!(text, "" | "{}"), "{text}: {answer}");
    }
    for (media, expect) in
        [("application/json; charset=utf-8", 400), ("text/plain", 415), ("application/x-www-form-urlencoded", 415)]
    {
        body("{}", media).await.expect(expect);
    }
    // No type at all is no JSON.
    let head =
        format!("POST /api/v1/application/ HTTP/1.1\r\nHost: x\r\nAuthorization: ApiKey {}:{}", bob.name, bob.key);
    let (answer, _) = raw_request(server.addresses().api, &head, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    let large = json!({"image": "a".repeat(1 << 20)});
    bob.post("/application/", &large).await.expect(413);
    bob.get(&format!("/application/?name={}", "a".repeat(9000))).await.expect(414);
    for uuid in ["x", "6FE5029E-C125-4088-9B9A-4E74DA20AC58", "6fe5029ec12540889b9a4e74da20ac58", "%00"] {
        bob.get(&format!("/application/{uuid}/")).await.expect(404);
        bob.get(&format!("/container/{uuid}/")).await.expect(404);
    }
}

#[tokio::test]
async fn what_is_the_same_for_everybody() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let role = json!({"label": "Full access", "resource_uri": "/api/v1/role/global/", "scope": "global"});
    let meta = |total: u32| json!({"limit": 25, "next": null, "offset": 0, "previous": null, "total_count": total});
    assert_eq!(bob.fetch("/role/").await, json!({"meta": meta(1), "objects": [role]}));
    assert_eq!(bob.fetch("/role/global/").await, role);
    bob.get("/role/full/").await.expect(404);
    for empty in ["/application/", "/container/", "/image/", "/registry/"] {
        assert_eq!(bob.fetch(empty).await, json!({"meta": meta(0), "objects": []}), "{empty}");
    }
    let second = bob.fetch("/role/?limit=1&offset=1&x=y").await;
    assert_eq!(
        (&second["objects"], &second["meta"]["previous"]),
        (&json!([]), &json!("/api/v1/role/?x=y&limit=1&offset=0"))
    );
    let document: Value = bob.fetch("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let page =
        send(server.http().get(format!("http://{}/docs", server.addresses().api)), "GET /docs").await.expect(200);
    for text in ["Slipway: the Deis controller API", "Slipway: the Tutum API", "ApiKey $USERNAME:$APIKEY"] {
        assert!(page.text.contains(text), "{text}");
    }
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let first = bob.running(&image, "page", json!({})).await;
    let second = bob.running(&image, "page", json!({"target_num_containers": 2})).await;
    let third = bob.running(&image, "other", json!({})).await;
    let names = |list: &Value| -> Vec<String> {
        let objects = list["objects"].as_array().expect("a list").iter();
        objects.map(|object| object["unique_name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&bob.fetch("/application/").await), ["page", "page-2", "other"], "oldest first");
    let page = bob.fetch("/application/?limit=2&name=page").await;
    assert_eq!((names(&page), page["meta"]["total_count"].as_u64()), (vec!["page".into(), "page-2".into()], Some(2)));
    let page = bob.fetch("/application/?limit=2").await;
    assert_eq!(page["meta"]["next"], "/api/v1/application/?limit=2&offset=2");
    let next = bob.fetch(page["meta"]["next"].as_str().expect("a path")).await;
    assert_eq!((names(&next), next["meta"]["next"].clone()), (vec!["other".to_owned()], Value::Null));
    assert_eq!(next["meta"]["previous"], "/api/v1/application/?limit=2&offset=0");
    let uuid = second["uuid"].as_str().expect("a uuid");
    for (query, expect) in [
        ("name=page".to_owned(), vec!["page", "page-2"]),
        ("unique_name=page".to_owned(), vec!["page"]),
        ("name=Page".to_owned(), vec![]),
        ("name=x&name=other".to_owned(), vec!["other"]),
        ("state=Running&unknown=1".to_owned(), vec!["page", "page-2", "other"]),
        ("state=Partly+running".to_owned(), vec![]),
        ("state=Start%20failed".to_owned(), vec![]),
        (format!("uuid={uuid}"), vec!["page-2"]),
        (format!("uuid__startswith={}", &uuid[..8]), vec!["page-2"]),
        (format!("uuid__startswith={}&name=other", &uuid[..8]), vec![]),
    ] {
        assert_eq!(names(&bob.fetch(&format!("/application/?{query}")).await), expect, "{query}");
    }
    assert_eq!(names(&bob.fetch("/container/").await).len(), 4);
    for (query, expect) in [
        ("name=page".to_owned(), vec!["page-1", "page-2-1", "page-2-2"]),
        ("unique_name=page-2-2".to_owned(), vec!["page-2-2"]),
        (format!("application__uuid={uuid}"), vec!["page-2-1", "page-2-2"]),
        (format!("application__uuid__startswith={}", &uuid[..6]), vec!["page-2-1", "page-2-2"]),
        ("application__unique_name=other".to_owned(), vec!["other-1"]),
        ("application__name=page&state=Running".to_owned(), vec!["page-1", "page-2-1", "page-2-2"]),
        ("application__state=Stopped".to_owned(), vec![]),
        ("state=Stopped".to_owned(), vec![]),
    ] {
        assert_eq!(names(&bob.fetch(&format!("/container/?{query}")).await), expect, "{query}");
    }
    // Somebody else has none of them.
    let eve = Tutum::of(&server.stranger().await).await;
    assert_eq!(names(&eve.fetch("/application/").await), [""; 0]);
    assert_eq!(names(&eve.fetch("/container/").await), [""; 0]);
    for object in [&first, &third] {
        eve.get(crate::support::uri(object)).await.expect(404);
        eve.delete(crate::support::uri(object)).await.expect(404);
    }
    bob.terminate_all().await;
}
