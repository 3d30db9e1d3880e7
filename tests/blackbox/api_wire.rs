//! The Deis door to the letter: status lines, headers and bodies that clients and their tests look for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Key, KeyKind, Options, Slipway, User, raw_request};

async fn send(user: &User<'_>, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let url = format!("http://{}{path}", user.server.addresses().api);
    let request = user.server.http().request(method.clone(), url).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::to(request, format!("{method} {path}")).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn status_lines_and_version_headers_are_as_the_clients_read_them() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let api = server.addresses().api;
    let token = format!("Host: {api}\r\nAuthorization: token {}", owner.token);
    let check = async |request: &str, body: &str, status: &str| {
        let (head, body) = raw_request(api, request, body).await;
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some(format!("HTTP/1.1 {status}").as_str()), "{request}: {head}\n{body}");
        let headers = head.to_lowercase();
        for header in ["x_deis_api_version: 1.2", "x_deis_platform_version: ", "access-control-allow-origin: *"] {
            assert!(headers.contains(header), "no {header} on {request}: {head}");
        }
        (head, body)
    };
    let host = format!("Host: {api}");
    check(&format!("GET /v1/apps HTTP/1.1\r\n{token}"), "", "200 OK").await;
    let (head, body) =
        check(&format!("POST /v1/apps HTTP/1.1\r\n{token}\r\nContent-Type: application/json"), "", "201 CREATED").await;
    assert!(head.to_lowercase().contains("allow: get, post"), "{head}");
    let app: Value = serde_json::from_str(&body).expect("an app");
    let name = app["id"].as_str().expect("a name");
    let (head, body) = check(&format!("DELETE /v1/apps/{name} HTTP/1.1\r\n{token}"), "", "204 NO CONTENT").await;
    assert_eq!(body, "", "{head}");
    check(&format!("GET /v1/apps/{name} HTTP/1.1\r\n{token}"), "", "404 NOT FOUND").await;
    check(&format!("GET /v1/apps HTTP/1.1\r\n{host}"), "", "401 UNAUTHORIZED").await;
    check(&format!("PUT /v1/apps HTTP/1.1\r\n{token}"), "{}", "405 METHOD NOT ALLOWED").await;
    check(&format!("PUT /v1/apps HTTP/1.1\r\n{host}"), "{}", "401 UNAUTHORIZED").await;
    check(&format!("POST /v1/apps HTTP/1.1\r\n{token}\r\nContent-Type: application/json"), "{", "400 BAD REQUEST")
        .await;
    check(&format!("POST /v1/apps HTTP/1.1\r\n{token}\r\nContent-Type: application/json"), "[]", "400 BAD REQUEST")
        .await;
    check(&format!("POST /v1/apps HTTP/1.1\r\n{token}\r\nContent-Type: text/plain"), "x", "415 UNSUPPORTED MEDIA TYPE")
        .await;
    check(&format!("GET /v1/nothing HTTP/1.1\r\n{token}"), "", "404 NOT FOUND").await;
    let (_, body) = check(&format!("HEAD /v1/apps HTTP/1.1\r\n{token}"), "", "200 OK").await;
    assert_eq!(body, "");
    check(&format!("OPTIONS /v1/apps HTTP/1.1\r\n{token}"), "", "200 OK").await;
}

#[tokio::test]
async fn clients_of_both_generations_are_let_in_and_others_are_told() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let token = format!("Token {}", owner.token);
    for version in [None, Some("1.0"), Some("1")] {
        let version = version.map(|version| ("X-Deis-Version", version));
        let headers: Vec<_> = [("Authorization", token.as_str())].into_iter().chain(version).collect();
        send(&owner, Method::GET, "/v1/apps", &headers, "").await.expect(200);
    }
    let answer = send(&owner, Method::GET, "/v1/apps", &[("X-Deis-Version", "99")], "").await.expect(405);
    let error = answer.json()["error"].as_str().expect("'error', not 'detail'").to_owned();
    assert!(
        error.starts_with("Client and server versions do not match. Client version: 99 Server version: "),
        "{error}"
    );

    for (header, detail) in [
        (None, "Authentication credentials were not provided."),
        (Some("Basic YTpi"), "Authentication credentials were not provided."),
        (Some("token 0123456789012345678901234567890123456789"), "Invalid token"),
        (Some("token"), "Invalid token header. No credentials provided."),
        (Some("token a b"), "Invalid token header. Token string should not contain spaces."),
    ] {
        let headers: Vec<_> = header.map(|value| ("Authorization", value)).into_iter().collect();
        let answer = send(&owner, Method::GET, "/v1/apps", &headers, "").await.expect(401);
        assert_eq!(
            (answer.json(), answer.header("WWW-Authenticate")),
            (json!({ "detail": detail }), "Token"),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn accounts_are_made_and_used_by_forms_and_by_json() {
    let server = Slipway::start().await;
    let admin = server.admin().await;
    let account = json!({ "username": "bob", "password": "b", "email": "b@example.com", "first_name": "Bob", "is_superuser": true });
    let answer = admin.post("/auth/register/", &account).await.expect(201);
    let user = answer.json();
    assert_eq!(
        (&user["username"], &user["first_name"], &user["email"]),
        (&json!("bob"), &json!("Bob"), &json!("b@example.com"))
    );
    assert_eq!((&user["is_superuser"], &user["is_active"]), (&json!(false), &json!(true)), "{user}");
    assert!(user.get("password").is_none() && user["id"].is_number(), "{user}");

    let login = async |path: &str, body: Value| admin.post(path, &body).await;
    let bob = json!({ "username": "bob", "password": "b" });
    let token = login("/auth/login", bob.clone()).await.expect(200).json()["token"].clone();
    assert_eq!(token.as_str().map(str::len), Some(40), "{token}");
    assert_eq!(
        login("/auth/login/", bob).await.expect(200).json()["token"],
        token,
        "every login yields the same token"
    );
    let wrong = json!({ "non_field_errors": ["Unable to log in with provided credentials."] });
    for name in ["bob", "nobody"] {
        let answer = login("/auth/login/", json!({ "username": name, "password": "x" })).await.expect(400);
        assert_eq!((answer.line().as_str(), answer.json()), ("400 BAD REQUEST", wrong.clone()));
    }
    let answer = login("/auth/login/", json!({ "username": "bob" })).await.expect(400);
    assert_eq!(answer.json(), json!({ "password": ["This field is required."] }));
    let answer =
        admin.form("/auth/register", &[("username", "bob"), ("password", "x"), ("email", "")]).await.expect(400);
    assert_eq!(answer.json(), json!({ "username": ["This field must be unique."] }));
    let answer =
        admin.form("/auth/register", &[("username", "bad name"), ("password", "x"), ("email", "no")]).await.expect(400);
    assert_eq!(answer.json()["email"], json!(["Enter a valid email address."]));
    assert!(answer.json()["username"].is_array());
}

#[tokio::test]
async fn apps_are_named_listed_and_paged() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_QUOTAS", "apps=200")).await;
    let owner = server.owner().await;
    let create = async |body: Value| owner.post("/apps", &body).await;
    let answer = create(json!({})).await.expect(201);
    let generated = answer.json()["id"].as_str().expect("a name").to_owned();
    let (adjective, noun) = generated.split_once('-').unwrap_or_else(|| panic!("{generated}"));
    assert!(
        [adjective, noun].iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())),
        "{generated}"
    );

    let app = create(json!({ "id": "first" })).await.expect(201).json();
    assert_eq!(
        (&app["id"], &app["owner"], &app["url"], &app["structure"]),
        (&json!("first"), &json!("owner"), &json!("first.localhost"), &json!({}))
    );
    let is_time = |value: &Value| value.as_str().is_some_and(|text| text.len() == 22 && text.ends_with("UTC"));
    assert!(is_time(&app["created"]) && is_time(&app["updated"]), "{app}");
    assert_eq!(app["uuid"].as_str().map(str::len), Some(36));
    for (id, message) in [
        (json!("first"), "This field must be unique."),
        (json!("Upper"), "App IDs can only contain [a-z0-9-]."),
        (json!("a_b"), "App IDs can only contain [a-z0-9-]."),
        (json!("deis"), "deis is a reserved name."),
        (json!(""), "This field may not be blank."),
        (json!(null), "This field may not be null."),
    ] {
        let answer = create(json!({ "id": id })).await.expect(400);
        assert_eq!(answer.json()["id"][0], message, "{id}");
    }
    create(json!({ "id": "a".repeat(64) })).await.expect(400);
    create(json!({ "id": "-x" })).await.expect(400);

    for number in 0..99 {
        create(json!({ "id": format!("app-{number:02}") })).await.expect(201);
    }
    let first = owner.get("/apps").await.expect(200).json();
    assert_eq!((&first["count"], &first["previous"]), (&json!(101), &Value::Null));
    assert_eq!(first["results"].as_array().map(Vec::len), Some(100));
    assert_eq!((&first["results"][0]["id"], &first["results"][2]["id"]), (&json!(generated), &json!("app-00")));
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(next, format!("http://{}/v1/apps?page=2", server.addresses().api));
    for page in ["2", "last"] {
        let last = owner.get(&format!("/apps?page={page}")).await.expect(200).json();
        assert_eq!((&last["results"][0]["id"], &last["next"]), (&json!("app-98"), &Value::Null));
        assert_eq!(last["results"].as_array().map(Vec::len), Some(1));
    }
    owner.get("/apps?page=3").await.expect(404);
}

#[tokio::test]
async fn a_new_app_has_a_first_release_and_nothing_else() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let app = owner.create("new").await;
    let releases = app.get("/releases/").await;
    let release = &releases["results"][0];
    assert_eq!((&releases["count"], &release["version"], &release["build"]), (&json!(1), &json!(1), &Value::Null));
    assert_eq!((&release["summary"], &release["app"]), (&json!("owner created initial release"), &json!(app.name)));
    assert_eq!(&app.get("/releases/v1/").await, release);
    for below in ["/releases/v2", "/releases/1", "/containers/web/1", "/builds/x", "/junk", "/releases/v1/junk"] {
        let answer = owner.get(&app.path(below)).await.expect(404);
        assert_eq!(answer.line(), "404 NOT FOUND");
        assert!(answer.json()["detail"].is_string(), "{below}: {}", answer.text);
    }
    let config = app.get("/config").await;
    for map in ["values", "memory", "cpu", "tags"] {
        assert_eq!(config[map], json!({}), "{config}");
    }
    for below in ["/builds", "/containers", "/containers/web", "/containers/"] {
        assert_eq!(
            app.get(below).await,
            json!({ "count": 0, "next": null, "previous": null, "results": [] }),
            "{below}"
        );
    }
    let logs = owner.get(&app.path("/logs")).await.expect(200);
    assert!(
        logs.json().as_str().is_some_and(|text| text.ends_with(": owner created initial release\n")),
        "{}",
        logs.text
    );
    assert!(logs.text.contains(" deis[api]: "), "{}", logs.text);

    // Config before the first build is a release, too, and runs nothing.
    assert_eq!(app.set(&json!({ "A": "1", "N": 5, "F": 1.5, "T": true, "U": "世界" })).await, 2);
    assert_eq!(app.get("/config").await["values"], json!({ "A": "1", "N": 5, "F": 1.5, "T": true, "U": "世界" }));
    let answer = app.post("/config", &json!({})).await.expect(201);
    assert_eq!((answer.header("X-Deis-Release"), answer.header("Deis-Release")), ("3", "3"));
    assert_eq!(app.get("/releases").await["results"][0]["summary"], "owner changed nothing");
    for values in
        [json!("not json"), json!([1]), json!({ "1A": "x" }), json!({ "A-B": "x" }), json!({ "A": { "nested": 1 } })]
    {
        let answer = app.post("/config", &json!({ "values": values })).await.expect(400);
        assert!(answer.json()["values"].is_array(), "{values}: {}", answer.text);
    }
    assert_eq!(app.versions().await, [3, 2, 1]);
}

#[tokio::test]
async fn keys_are_added_listed_and_removed_by_any_name() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let key = Key::new(KeyKind::Ecdsa);
    let public = key.public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    // The client sends the file's text, whose line end stays when there is no comment.
    let answer = owner.add_key("me@my laptop.example/1", &format!("{public}\n")).await.expect(201).json();
    assert_eq!(
        (&answer["id"], &answer["owner"], &answer["public"]),
        (&json!("me@my laptop.example/1"), &json!("owner"), &json!(public))
    );
    for path in
        ["/keys/me@my%20laptop.example/1", "/keys/me@my%20laptop.example/1/", "/keys/me%40my%20laptop.example%2F1"]
    {
        assert_eq!(owner.get(path).await.expect(200).json()["public"], public, "{path}");
    }
    let list = owner.get("/keys").await.expect(200).json();
    assert_eq!((&list["count"], &list["results"][1]["id"]), (&json!(2), &json!("me@my laptop.example/1")));

    let fresh = Key::new(KeyKind::Ed25519);
    assert_eq!(
        owner.add_key("laptop", &fresh.public).await.expect(400).json(),
        json!({ "id": ["This field must be unique."] })
    );
    assert_eq!(
        owner.add_key("twice", &public).await.expect(400).json(),
        json!({ "public": ["This field must be unique."] })
    );
    for bad in ["ssh-rsa", "ssh-ed25519 AAAA", "nonsense", "ssh-dss AAAAB3NzaC1kc3MAAACBAP me"] {
        assert!(owner.add_key("bad", bad).await.expect(400).json()["public"].is_array(), "{bad}");
    }
    owner.delete("/keys/me@my%20laptop.example/1").await.expect(204);
    owner.get("/keys/me@my%20laptop.example/1").await.expect(404);
    let stranger = server.stranger().await;
    assert_eq!(stranger.get("/keys").await.expect(200).json()["count"], 1, "everybody sees their own");
    owner.delete("/keys/nothing").await.expect(404);
}
