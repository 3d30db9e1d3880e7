//! domains:add, domains:list, domains:remove, and the commands that read the domains: info and git:remote

use super::Story;
use crate::support::{Answer, Generation, fresh_name};

/// Before the first build: everything is there, and empty.
pub async fn info_of_a_new_app(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    let (heading, processes) = (format!("=== {app} Application"), format!("=== {app} Processes"));
    let (id, url) = (format!("\"id\": \"{app}\""), format!("\"url\": \"{app}.localhost\""));
    let domains = format!("=== {app} Domains\nNo domains");
    bob.can("info", &[&heading, &id, &url, "\"owner\": \"bob\"", "\"structure\": {}", &processes, &domains]).await;
    bob.cannot("info --app=no-such-app", &["404 NOT FOUND", "Detail:", "Not found"]).await;
    if bob.generation == Generation::Second {
        bob.git("remote remove deis").await.succeeded();
        bob.can(&format!("git:remote --app={app}"), &["Git remote deis added"]).await;
        bob.can(&format!("git:remote --app={app} --remote=staging"), &["Git remote staging added"]).await;
        bob.cannot(&format!("git:remote --app={app}"), &["Could not create Deis remote"]).await;
    }
}

/// A domain is served from the command on that adds it until the one that removes it.
pub async fn add_and_remove(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    let domain = format!("{}.example.com", fresh_name("www"));
    let ask = async || {
        let request = story.server.http().get(format!("http://{}/", story.server.addresses().http));
        Answer::to(request.header("Host", &domain), format!("GET {domain}")).await.expect("the router answers")
    };
    bob.can("domains", &[&format!("=== {app} Domains"), "No domains"]).await;
    assert_eq!(ask().await.status, 404);
    bob.can(&format!("domains:add {domain}"), &[&format!("Adding {domain} to {app}... done")]).await;
    assert_eq!(ask().await.expect(200).json()["app"], app.as_str());
    bob.can("domains:list", &[&domain]).await;
    let running = format!("{}.1 up (v{})", story.web, story.next().await - 1);
    bob.can("info", &[&format!("\"{}\": 1", story.web), &running, &domain]).await;
    bob.cannot(&format!("domains:add {domain}"), &["400 BAD REQUEST", "domain", "This field must be unique."]).await;
    bob.cannot("domains:add no_domain", &["400 BAD REQUEST", "domain", "Hostname does not look valid."]).await;
    let removed = format!("Removing {domain} from {app}... done");
    bob.can(&format!("domains:remove {domain}"), &[&removed]).await;
    assert_eq!(ask().await.status, 404);
    bob.cannot(&format!("domains:remove {domain}"), &["404 NOT FOUND", "Not found"]).await;
}
