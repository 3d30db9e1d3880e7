//! Certificates that come by themselves, from a real authority.

use serde_json::{Value, json};

use crate::support::{App, Authority, LONG, Slipway, by_name, raw_request, wait_until};

/// Waits until the app's certificates are as `is_so` wants them.
async fn until(app: &App<'_>, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, LONG, async || {
        let list = app.get("/certs").await;
        if is_so(&list) { Ok(list) } else { Err(list.to_string()) }
    })
    .await
}

fn status_of(list: &Value, name: &str) -> String {
    by_name(list).get(name).map_or(String::new(), |entry| entry["status"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_name_gets_a_certificate_that_is_renewed_and_outlives_a_restart() {
    let mut authority = Authority::start().await;
    let server = Slipway::start_with(authority.options().env("SLIPWAY_DOMAIN", "slip.test")).await;
    let owner = server.owner().await;
    let app = owner.create("shop").await;
    let own = format!("{}.slip.test", app.name);
    authority.lead_nowhere("lost.example.test").await;
    for domain in ["www.example.test", "lost.example.test", "*.wild.example.test"] {
        app.post("/domains", &json!({ "domain": domain })).await.expect(201);
    }
    let settled = |list: &Value| {
        let valid = [own.as_str(), "www.example.test"].iter().all(|name| status_of(list, name) == "valid");
        valid && status_of(list, "lost.example.test") == "failed"
    };
    let list = until(&app, "two names have a certificate and the third says why not", settled).await;
    let lost = by_name(&list)["lost.example.test"].clone();
    assert!(lost["error"].as_str().unwrap().contains("could not see that the name leads here"), "{lost}");
    assert_eq!(list["count"], 3, "a wildcard is not asked for: {list}");
    wait_until("the app's log says both", LONG, async || {
        let logs = owner.get(&app.path("/logs")).await.expect(200).text;
        let said = ["the certificate for www.example.test is here", "no certificate for lost.example.test yet"];
        if said.iter().all(|text| logs.contains(text)) { Ok(()) } else { Err(logs) }
    })
    .await;

    // A browser that trusts the authority reads the router's own answer for an app without instances.
    let visitor = authority.visitor(&[&own, "www.example.test", "lost.example.test", "slipway.slip.test"]).await;
    for name in [own.as_str(), "www.example.test"] {
        assert_eq!(authority.visit(&visitor, name).await, Ok(503), "{name}");
    }
    let refused = authority.visit(&visitor, "lost.example.test").await.unwrap_err();
    assert!(refused.contains("InvalidCertificate"), "{refused}");
    wait_until("the platform's own name has one", LONG, async || {
        authority.visit(&visitor, "slipway.slip.test").await.map(drop)
    })
    .await;
    // From then on tokens go there by HTTPS only; GET and HEAD as browsers expect, others with their method.
    let (http, https) = (server.addresses().http, server.addresses().https.port());
    let plain =
        async |line: &str| raw_request(http, &format!("{line} HTTP/1.1\r\nHost: slipway.slip.test"), "").await.0;
    let head = plain("GET /v1/apps?limit=1").await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 301 "), "{head}");
    // Who names no port came by one that something maps to ours.
    assert!(head.contains("location: https://slipway.slip.test/v1/apps?limit=1\r\n"), "{head}");
    assert!(plain("POST /v1/auth/login").await.starts_with("HTTP/1.1 308 "));
    let url = format!("https://slipway.slip.test:{https}/v1/apps");
    let answer = visitor.get(url).send().await.expect("the API answers by HTTPS");
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=15552000");

    // Two thirds of its time are over: the next one comes, of the same account, while this one is served.
    server.stop().await;
    let issued = authority.issued();
    server.change_rows("UPDATE automatic_certificates SET next_try_at = 0 WHERE name = 'www.example.test'").await;
    server.restart().await;
    assert_eq!(authority.visit(&visitor, "www.example.test").await, Ok(503));
    wait_until("the next certificate is made", LONG, async || {
        let now = authority.issued();
        if now > issued { Ok(()) } else { Err(authority.log()) }
    })
    .await;
    wait_until("it is due again only later", LONG, async || {
        let sql = "SELECT name FROM automatic_certificates WHERE name = 'www.example.test' AND next_try_at > 0";
        if server.rows(sql).await.is_empty() { Err(server.log()) } else { Ok(()) }
    })
    .await;
    assert_eq!(server.rows("SELECT directory FROM acme_accounts").await.len(), 1);

    // Without the authority what is there goes on.
    server.stop().await;
    let newcomer = authority.visitor(&["www.example.test"]).await;
    authority.stop().await;
    server.restart().await;
    for name in [own.as_str(), "www.example.test"] {
        assert_eq!(authority.visit(&visitor, name).await, Ok(503), "{name}");
    }
    // A domain that is gone is not answered for any more.
    owner.delete(&app.path("/domains/www.example.test")).await.expect(204);
    // By somebody new: who was here before resumes the session, which shows no certificate.
    let gone = authority.visit(&newcomer, "www.example.test").await;
    assert!(gone.as_ref().is_err_and(|why| why.contains("InvalidCertificate")), "{gone:?}");
}

#[tokio::test]
async fn a_name_is_shown_to_lead_here_by_tls_alone() {
    let authority = Authority::start().await;
    let options = authority.options().env("SLIPWAY_DOMAIN", "slip.test").env("SLIPWAY_ACME_CHALLENGE", "tls-alpn-01");
    let server = Slipway::start_with(options).await;
    let owner = server.owner().await;
    let app = owner.create("shop").await;
    let name = format!("{}.slip.test", app.name);
    until(&app, "the name has a certificate", |list| status_of(list, &name) == "valid").await;
    let visitor = authority.visitor(&[&name]).await;
    assert_eq!(authority.visit(&visitor, &name).await, Ok(503));
}
