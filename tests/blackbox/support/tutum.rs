//! A person at the Tutum API, by plain HTTP and with the original SDK.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::wait::{LONG, wait_until};
use super::{Answer, Finished, Running, Slipway, User, prepared};

/// Somebody with an account and a key.
pub struct Tutum<'a> {
    pub server: &'a Slipway,
    pub name: String,
    pub key: String,
}

impl<'a> Tutum<'a> {
    /// The same person as at the other door, with a fresh key.
    pub async fn of(user: &User<'a>) -> Self {
        let request = user.server.http().get(address(user.server, "/auth/"));
        let request = request.basic_auth(&user.name, Some(&user.password));
        let answer = Answer::to(request, "GET /auth/").await.unwrap_or_else(|error| panic!("{error}")).expect(200);
        let key = answer.json()["objects"][0]["key"].as_str().expect("a key").to_owned();
        Self { server: user.server, name: user.name.clone(), key }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    /// POST to something below a resource, without a body.
    pub async fn act(&self, uri: &str, action: &str) -> Answer {
        self.ask(Method::POST, &format!("{uri}{action}/"), None).await
    }

    /// A request; `path` is below `/api/v1`, or a URI that the API gave.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.request(method.clone(), path);
        // The SDK names the type even where there is nothing.
        let request = match body {
            Some(body) => request.json(body),
            None => request.header("Content-Type", "application/json"),
        };
        Answer::to(request, format!("{method} {path}")).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A request with this person's key.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.server.http().request(method, address(self.server, path));
        request.header("Authorization", format!("ApiKey {}:{}", self.name, self.key))
    }

    /// Creates an application; yields its detail.
    pub async fn create(&self, body: &Value) -> Value {
        self.post("/application/", body).await.expect(202).json()
    }

    /// Creates an application of this image and name, and waits until it runs.
    pub async fn running(&self, image: &str, name: &str, more: Value) -> Value {
        let mut body = json!({"image": image, "name": name});
        for (member, value) in more.as_object().expect("an object") {
            body[member] = value.clone();
        }
        let made = self.create(&body).await;
        self.until(uri(&made), "Running").await
    }

    /// The object of a URI.
    pub async fn fetch(&self, uri: &str) -> Value {
        self.get(uri).await.expect(200).json()
    }

    /// Waits until the object of a URI is in that state.
    pub async fn until(&self, uri: &str, state: &str) -> Value {
        self.until_it(uri, &format!("is {state}"), |object| object["state"] == state).await
    }

    /// Waits until something holds for the object of a URI.
    pub async fn until_it(&self, uri: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait_until(&format!("{uri} {what}"), LONG, async || {
            let found = self.fetch(uri).await;
            if holds(&found) { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    }

    /// The containers of an application, by number.
    pub async fn containers(&self, application: &Value) -> Vec<Value> {
        let mut found = Vec::new();
        for uri in application["containers"].as_array().expect("a list") {
            found.push(self.fetch(uri.as_str().expect("a URI")).await);
        }
        found
    }

    /// The engine's container of an instance.
    pub async fn in_engine(&self, container: &Value) -> super::Container {
        let label = format!("io.slipway.instance={}", container["uuid"].as_str().expect("a uuid"));
        let found = self.server.docker().containers(&[&label]).await;
        let [found] = &found[..] else { panic!("not one container of {container}: {found:?}") };
        found.clone()
    }

    /// Ends all applications, and waits for it.
    pub async fn terminate_all(&self) {
        let list = self.fetch("/application/?limit=100").await;
        let live = |object: &&Value| object["state"] != "Terminated";
        let uris: Vec<&str> = list["objects"].as_array().expect("a list").iter().filter(live).map(uri).collect();
        for uri in &uris {
            self.delete(uri).await.expect(202);
        }
        for uri in uris {
            self.until(uri, "Terminated").await;
        }
    }

    /// The same person with a release of the SDK.
    pub fn sdk(&self, release: &'static str) -> Sdk<'_> {
        Sdk { server: self.server, name: self.name.clone(), key: self.key.clone(), release, home: home() }
    }
}

/// The URI of a resource.
pub fn uri(object: &Value) -> &str {
    object["resource_uri"].as_str().unwrap_or_else(|| panic!("no resource_uri in {object}"))
}

/// Where the API has this path.
fn address(server: &Slipway, path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    format!("http://{}/api/v1{path}", server.addresses().api)
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Python with a release of `python-tutum`, as it is on PyPI but for what `scripts/clients` rewrites.
pub struct Sdk<'a> {
    server: &'a Slipway,
    name: String,
    key: String,
    release: &'static str,
    home: TempDir,
}

/// What every piece of Python begins with. The class of applications was renamed between the releases.
const PRELUDE: &str = "import json, tutum\n\
    App = getattr(tutum, 'Cluster', None) or tutum.Application\n\
    Container = tutum.Container\n\
    def show(value): print('>>> ' + json.dumps(value))\n";

impl<'a> Sdk<'a> {
    /// Somebody who is not logged in.
    pub fn of(server: &'a Slipway, release: &'static str) -> Self {
        Self { server, name: String::new(), key: String::new(), release, home: home() }
    }

    /// Runs Python that has to succeed; yields what it showed last.
    pub async fn run(&self, code: &str) -> Value {
        let output = self.try_run(code).await.succeeded().output();
        let shown = output.lines().rev().find_map(|line| line.strip_prefix(">>> "));
        shown.map_or(Value::Null, |shown| serde_json::from_str(shown).expect("show writes JSON"))
    }

    /// Runs Python.
    pub async fn try_run(&self, code: &str) -> Finished {
        let mut command = Command::new(self.python());
        command.arg("-c").arg(format!("{PRELUDE}{code}")).env_clear().env("HOME", self.home.path());
        command
            .env("TUTUM_BASE_URL", address(self.server, "/"))
            .env("NO_PROXY", "*")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        if !self.key.is_empty() {
            command.env("TUTUM_USER", &self.name).env("TUTUM_APIKEY", &self.key);
        }
        Running::start(&mut command).called(format!("python-tutum {}: {code}", self.release)).finish().await
    }

    fn python(&self) -> PathBuf {
        let folder = prepared(&format!("tutum-{}", self.release));
        assert!(folder.join("stamp").exists(), "no SDK in {}. Type: make test", folder.display());
        folder.join("venv/bin/python")
    }
}
