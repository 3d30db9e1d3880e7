//! An app, from its owner's chair.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::wait::{LONG, wait_until};
use super::{Answer, Container, Finished, Repo, Running, User};

/// An app of a person.
pub struct App<'a> {
    pub user: &'a User<'a>,
    pub name: String,
}

/// What a failed change must leave as it was.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    refs: String,
    releases: Value,
    structure: Value,
    config: Value,
    containers: Vec<Container>,
    page: Value,
}

impl App<'_> {
    /// Pushes the checked-out commit to main and waits for the end.
    pub async fn push(&self, repo: &Repo) -> Finished {
        self.start_push(repo).finish().await
    }

    /// Starts a push of the checked-out commit to main.
    pub fn start_push(&self, repo: &Repo) -> Running {
        self.user.start_git(repo, &["push", &self.remote(), "HEAD:refs/heads/main"])
    }

    /// Where it is pushed to.
    pub fn remote(&self) -> String {
        self.user.remote(&self.name)
    }

    /// `/apps/NAME/...`
    pub fn path(&self, below: &str) -> String {
        format!("/apps/{}{below}", self.name)
    }

    /// GET of a part of the app, which has to be there.
    pub async fn get(&self, below: &str) -> Value {
        self.user.get(&self.path(below)).await.expect(200).json()
    }

    /// POST to a part of the app.
    pub async fn post(&self, below: &str, body: &Value) -> Answer {
        self.user.post(&self.path(below), body).await
    }

    /// Sets config values; yields the number of the release.
    pub async fn set(&self, values: &Value) -> u64 {
        let answer = self.post("/config", &json!({ "values": values })).await.expect(201);
        answer.header("X-Deis-Release").parse().unwrap_or_else(|_| panic!("no X-Deis-Release in {answer:?}"))
    }

    /// Scales; has to succeed.
    pub async fn scale(&self, counts: &Value) {
        let answer = self.post("/scale", counts).await.expect(204);
        assert_eq!(answer.text, "");
    }

    /// Asks the app, through the router; `Err` when there is no answer at all.
    pub async fn try_ask(&self, path: &str) -> Result<Answer, String> {
        let server = self.user.server;
        let request = server.http().get(format!("http://{}{path}", server.addresses().http));
        Answer::to(request.header("Host", format!("{}.localhost", self.name)), format!("GET {} {path}", self.name))
            .await
    }

    /// Asks the app, through the router.
    pub async fn ask(&self, path: &str) -> Answer {
        self.try_ask(path).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What the app says of itself, through the router. The sample apps tell release, version, config and instance.
    pub async fn page(&self) -> Value {
        self.ask("/").await.expect(200).json()
    }

    /// Waits until the page's `field` is `value`.
    pub async fn until_page(&self, field: &str, value: &str) -> Value {
        wait_until(&format!("the page of {} says {field}={value}", self.name), LONG, async || {
            let answer = self.try_ask("/").await?;
            let page: Value =
                serde_json::from_str(&answer.text).map_err(|_| format!("{} {}", answer.line(), answer.text))?;
            if page[field] == value { Ok(page) } else { Err(page.to_string()) }
        })
        .await
    }

    /// Containers of its instances, in the engine.
    pub async fn containers(&self) -> Vec<Container> {
        let server = self.user.server;
        server.docker().instances(&server.id().await, &self.name).await
    }

    /// Containers of one process type.
    pub async fn containers_of(&self, process: &str) -> Vec<Container> {
        let mut found = self.containers().await;
        found.retain(|container| container.process == process);
        found
    }

    /// The only container of its instances.
    pub async fn container(&self) -> Container {
        let containers = self.containers().await;
        let [container] = &containers[..] else { panic!("not one container: {containers:?}") };
        container.clone()
    }

    /// Versions of its releases, newest first.
    pub async fn versions(&self) -> Vec<u64> {
        let releases = self.get("/releases").await;
        let results = releases["results"].as_array().expect("a list");
        results.iter().map(|release| release["version"].as_u64().expect("a number")).collect()
    }

    /// The commit that its main branch points to; `None` when there is none.
    pub async fn head(&self, repo: &Repo) -> Option<String> {
        let refs = self.user.git(repo, &["ls-remote", &self.remote(), "refs/heads/main"]).await.succeeded().output();
        refs.split_whitespace().next().map(str::to_owned)
    }

    /// The lines of its log.
    pub async fn logs(&self) -> Vec<String> {
        let logs = self.get("/logs").await;
        logs.as_str().expect("the log is one JSON string").lines().map(str::to_owned).collect()
    }

    /// Everything about it that a failed change must leave alone. The app has to serve.
    pub async fn snapshot(&self, repo: &Repo) -> Snapshot {
        Snapshot {
            refs: self.user.git(repo, &["ls-remote", &self.remote()]).await.succeeded().output(),
            releases: self.get("/releases").await["results"].clone(),
            structure: self.get("").await["structure"].clone(),
            config: self.get("/config").await,
            containers: self.containers().await,
            page: self.page().await,
        }
    }

    /// Checks that nothing is left of a failed change: everything is as it was, and no build goes on.
    pub async fn assert_unchanged(&self, repo: &Repo, before: &Snapshot) {
        let server = self.user.server;
        server.settle().await;
        assert_eq!(&self.snapshot(repo).await, before);
        assert_eq!(server.docker().build_containers(&server.id().await).await, []);
    }

    /// Process type -> ids of its containers.
    pub async fn ids(&self) -> BTreeMap<String, Vec<String>> {
        let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for container in self.containers().await {
            ids.entry(container.process).or_default().push(container.id);
        }
        ids
    }
}
