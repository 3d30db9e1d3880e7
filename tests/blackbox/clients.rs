//! The original Deis clients of both generations, over every command that they have (spec §19).
//!
//! `scripts/clients` installs them from PyPI. One story per client: people register, deploy, share and leave; after each
//! command its exit status and its text are looked at, and what the app answers through the router.

mod account;
mod apps;
mod certs;
mod config;
mod containers;
mod deploy;
mod domains;
mod keys;
mod limits;
mod releases;
mod sharing;
mod tags;

use crate::support::{App, Deis, Generation, Slipway};

/// Three people with the same client, and the app that two of them work on.
struct Story<'a> {
    server: &'a Slipway,
    /// The administrator: she was the first.
    ada: Deis<'a>,
    /// The owner of the app.
    bob: Deis<'a>,
    /// A stranger, until bob lets her in.
    eve: Deis<'a>,
    app: String,
    /// The process type that gets requests: `cmd` in a Dockerfile app, `web` in a slug.
    web: &'static str,
}

impl Story<'_> {
    /// The app through bob's eyes, but without his client.
    fn app(&self) -> App<'_> {
        self.bob.app(&self.app)
    }

    /// The number that the next release will have.
    async fn next(&self) -> u64 {
        self.app().versions().await[0] + 1
    }

    /// The number of the release that was pushed first.
    async fn pushed(&self) -> u64 {
        let releases = self.app().get("/releases").await;
        let oldest_first = releases["results"].as_array().expect("a list").iter().rev();
        let mut with_build = oldest_first.filter(|release| !release["build"].is_null());
        with_build.next().and_then(|release| release["version"].as_u64()).expect("something was pushed")
    }
}

#[tokio::test]
async fn a_person_with_client_1_0_2_does_everything_that_it_can() {
    story(Generation::First, "docker-web", "cmd").await;
}

#[tokio::test]
async fn a_person_with_client_1_5_2_does_everything_that_it_can() {
    story(Generation::Second, "pyapp", "web").await;
}

async fn story(generation: Generation, fixture: &str, web: &'static str) {
    let server = Slipway::start().await;
    let person = async |name: &str| Deis::registered(&server, generation, name, fixture).await;
    let (ada, bob, eve) = (person("ada").await, person("bob").await, person("eve").await);
    let app = crate::support::fresh_name("story");
    let mut story = Story { server: &server, ada, bob, eve, app, web };
    account::log_in_and_out(&story).await;
    account::change_the_password(&story).await;
    story.bob.user.token = story.bob.settings()["token"].as_str().expect("the client noted its token").to_owned();
    keys::add_and_remove(&story).await;
    apps::create(&story).await;
    apps::nothing_runs_before_the_first_build(&story).await;
    domains::info_of_a_new_app(&story).await;
    config::before_the_first_build(&story).await;
    tags::before_the_first_build(&story).await;
    deploy::push(&story).await;
    apps::open(&story).await;
    domains::add_and_remove(&story).await;
    if generation == Generation::Second {
        certs::add_and_remove(&story).await;
    }
    config::change_a_running_app(&story).await;
    containers::scale(&story).await;
    containers::logs(&story).await;
    containers::run(&story).await;
    limits::set_and_unset(&story).await;
    tags::on_a_running_app(&story).await;
    deploy::pull(&story).await;
    releases::look_and_roll_back(&story).await;
    sharing::share(&story).await;
    sharing::appoint(&story).await;
    apps::destroy(&story).await;
    account::cancel(&story).await;
}
