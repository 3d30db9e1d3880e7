//! register, login, logout, whoami, passwd, auth:cancel

use serde_json::Value;

use super::Story;
use crate::support::{Generation, fresh_name};

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

/// `passwd`, and back again. The client keeps the token that it has, which ends with the password: it has to log in again.
pub async fn change_the_password(story: &Story<'_>) {
    let bob = &story.bob;
    let (old, new, controller) = (&bob.user.password, "a-new-secret", bob.controller());
    let log_in = |password: &str| format!("login {controller} --username=bob --password={password}");
    let wrong = format!("passwd --password=wrong --new-password={new}");
    bob.cannot(&wrong, &["Password change failed: ", "Current password does not match"]).await;
    bob.can(&format!("passwd --password={old} --new-password={new}"), &["Password change succeeded."]).await;
    bob.cannot("apps", &["401 UNAUTHORIZED", "Invalid token"]).await;
    bob.cannot(&log_in(old), &["400 BAD REQUEST", "Unable to log in with provided credentials."]).await;
    bob.can(&log_in(new), &["Logged in as bob"]).await;
    assert_ne!(bob.settings()["token"], bob.user.token);
    bob.can("apps", &["=== Apps"]).await;
    let typed = format!("{new}\n{old}\n{old}\n");
    bob.type_in("auth:passwd", &typed)
        .await
        .succeeded()
        .says(&["new password (confirm):", "Password change succeeded."]);
    bob.can(&log_in(old), &["Logged in as bob"]).await;
}

/// `auth:cancel` takes the account and its apps, and leaves the others alone.
pub async fn cancel(story: &Story<'_>) {
    let (ada, bob, eve) = (&story.ada, &story.bob, &story.eve);
    let app = fresh_name("last");
    eve.can(&format!("create {app} --no-remote"), &[&app]).await;
    ada.can("apps", &[&app]).await;
    let typed = |answer: &str| match eve.generation {
        Generation::First => format!("eve\n{}\n{answer}\n", eve.user.password),
        Generation::Second => format!("{answer}\n"),
    };
    let command = match eve.generation {
        Generation::First => "auth:cancel".to_owned(),
        Generation::Second => format!("auth:cancel {}", eve.credentials()),
    };
    let asked = ["Please log in again in order to cancel this account", "Logged in as eve"];
    let kept = eve.type_in(&command, &typed("n")).await.succeeded().says(&asked);
    kept.says(&["Cancel account \"eve\" at ", "Account not changed"]);
    eve.can("apps", &[&app]).await;
    if eve.generation == Generation::First {
        eve.type_in(&command, &typed("y")).await.succeeded().says(&asked).says(&["Account cancelled"]);
    } else {
        eve.can(&format!("{command} --yes"), &asked).await;
    }
    assert_eq!(eve.settings()["token"], Value::Null);
    let log_in = format!("login {} {}", eve.controller(), eve.credentials());
    eve.cannot(&log_in, &["400 BAD REQUEST", "Unable to log in with provided credentials."]).await;
    assert_eq!(ada.can("apps", &[]).await.trim(), "=== Apps");
    // The name and the key are free again.
    let account = format!("{} --email=eve@example.com", eve.credentials());
    eve.can(&format!("register {} {account}", eve.controller()), &["Registered eve"]).await;
    eve.type_in("keys:add", "1\n").await.succeeded().says(&["done"]);
    bob.can("whoami", &["bob"]).await;
}
