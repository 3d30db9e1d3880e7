//! People: an account, a token, a key.

use std::process::{Command as StdCommand, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Answer, App, Finished, Key, KeyKind, Repo, Running, Slipway, fresh_name};

/// Somebody with an account and a registered key.
pub struct User<'a> {
    pub server: &'a Slipway,
    pub name: String,
    pub password: String,
    pub token: String,
    pub key: Key,
}

impl<'a> User<'a> {
    /// Registers somebody, logs in and adds a fresh key, as the Deis client does.
    pub async fn register(server: &'a Slipway, name: &str, kind: KeyKind) -> Self {
        let password = format!("secret of {name}");
        let mut user = Self { server, name: name.to_owned(), password, token: String::new(), key: Key::new(kind) };
        let account = [("username", name), ("password", &user.password), ("email", "someone@example.com")];
        user.form("/auth/register", &account).await.expect(201);
        user.log_in().await;
        user.add_key("laptop", &user.key.public).await.expect(201);
        user
    }

    /// Logs in; the token is kept.
    pub async fn log_in(&mut self) {
        let answer = self.form("/auth/login/", &[("username", &self.name), ("password", &self.password)]).await;
        answer.expect(200).json()["token"].as_str().expect("a token").clone_into(&mut self.token);
    }

    /// Sends a form without a token.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = serde_urlencoded::to_string(fields).expect("text fits in a form");
        let request = self.server.http().post(self.url(path)).body(body);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        Answer::to(request, format!("POST {path}")).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Registers a public key.
    pub async fn add_key(&self, id: &str, public: &str) -> Answer {
        self.post("/keys", &json!({ "id": id, "public": public })).await
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

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.request(method.clone(), path);
        let request = body.into_iter().fold(request, |request, body| request.json(body));
        Answer::to(request, format!("{method} {path}")).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A request with the headers that the Deis client sends.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.server.http().request(method, self.url(path));
        request.header("Authorization", format!("token {}", self.token)).header("X-Deis-Version", "1")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v1{path}", self.server.addresses().api)
    }

    /// Creates an app under a name that begins with `prefix`.
    pub async fn create(&self, prefix: &str) -> App<'_> {
        let name = fresh_name(prefix);
        self.post("/apps", &json!({ "id": name })).await.expect(201);
        self.app(&name)
    }

    /// The app of that name, which need not be there.
    pub fn app(&self, name: &str) -> App<'_> {
        App { user: self, name: name.to_owned() }
    }

    /// An app that serves the sample app `fixture` as release v2.
    pub async fn serving(&self, fixture: &str) -> (App<'_>, Repo) {
        let (app, repo) = (self.create("web").await, Repo::of(fixture));
        app.push(&repo).await.succeeded().says(&[":v2 deployed to Slipway"]);
        (app, repo)
    }

    /// Runs git in a repository with this person's key.
    pub async fn git(&self, repo: &Repo, args: &[&str]) -> Finished {
        self.start_git(repo, args).finish().await
    }

    /// Starts git in a repository with this person's key.
    pub fn start_git(&self, repo: &Repo, args: &[&str]) -> Running {
        self.start_git_with(&self.key, repo, args)
    }

    /// Starts git with another key.
    pub fn start_git_with(&self, key: &Key, repo: &Repo, args: &[&str]) -> Running {
        let mut command = StdCommand::new("git");
        repo.isolate(&mut command);
        command.args(args).env("GIT_SSH_COMMAND", key.ssh().join(" "));
        Running::start(&mut Command::from(command))
    }

    /// Where an app is pushed to.
    pub fn remote(&self, app: &str) -> String {
        format!("ssh://git@{}/{app}.git", self.server.addresses().ssh)
    }

    /// Runs ssh with this person's key and these words behind the host.
    pub async fn ssh(&self, options: &[&str], command: &[&str]) -> Finished {
        self.start_ssh_reading(options, command, Stdio::null()).finish().await
    }

    /// Starts ssh in the same way, with something to read.
    pub fn start_ssh_reading(&self, options: &[&str], command: &[&str], input: Stdio) -> Running {
        let address = self.server.addresses().ssh;
        let mut ssh = self.key.ssh();
        ssh.extend(["-p".to_owned(), address.port().to_string()]);
        ssh.extend(options.iter().map(|word| (*word).to_owned()));
        ssh.push(format!("git@{}", address.ip()));
        ssh.extend(command.iter().map(|word| (*word).to_owned()));
        Running::start_reading(Command::new(&ssh[0]).args(&ssh[1..]), input)
    }
}
