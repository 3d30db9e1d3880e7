//! register, login, logout, whoami

use serde_json::Value;

use super::Story;
use crate::support::Generation;

pub async fn log_in_and_out(story: &Story<'_>) {
    let bob = &story.bob;
    let controller = bob.controller();
    let again = format!("register {controller} {} --email=other@example.com", bob.credentials());
    bob.cannot(&again, &["Registration failed: ", "username", "This field must be unique."]).await;

    let me = match bob.generation {
        Generation::First => "bob".to_owned(),
        Generation::Second => format!("You are bob at {controller}"),
    };
    assert_eq!(bob.can("whoami", &[]).await.trim(), me);
    assert_eq!(bob.settings()["controller"], controller);
    bob.can("logout", &["Logged out"]).await;
    bob.can("auth:whoami", &["Not logged in."]).await;
    assert_eq!(bob.settings()["token"], Value::Null);
    bob.cannot("apps", &["Could not find token. Use `deis login` or `deis register` to get started."]).await;

    let wrong = format!("login {controller} --username=bob --password=wrong");
    bob.cannot(&wrong, &["400 BAD REQUEST", "Unable to log in with provided credentials."]).await;
    bob.can(&format!("login {controller} {}", bob.credentials()), &["Logged in as bob"]).await;
    assert_eq!(bob.settings()["token"], bob.user.token, "it is the same at every login");
    bob.can("auth:logout", &["Logged out"]).await;
    let typed = format!("bob\n{}\n", bob.user.password);
    bob.type_in(&format!("auth:login {controller}"), &typed).await.succeeded().says(&["password:", "Logged in as bob"]);
    assert_eq!(bob.settings()["token"], bob.user.token);
}
