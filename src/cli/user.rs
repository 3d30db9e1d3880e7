//! `slipway user`: accounts, from the host itself, without the API.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::config::Options;
use crate::model::Username;
use crate::platform::api_keys::create_api_key;
use crate::platform::users::{NewAccount, create_account, new_setup_token, reset_password};
use crate::server;
use crate::store::random_hex;

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create an account. Its password is read from standard input, or made up and printed when that is a terminal.
    Create {
        /// Login name.
        name: Username,
        /// Make it an administrator.
        #[arg(long)]
        admin: bool,
        /// E-mail address.
        #[arg(long, default_value = "")]
        email: String,
        #[command(flatten)]
        options: Options,
    },
    /// Give an account a new password, read or made up likewise.
    ResetPassword {
        /// Login name.
        name: Username,
        #[command(flatten)]
        options: Options,
    },
    /// Print a new token that lets whoever has it register the first account, where that does not come over the API's own address.
    SetupToken {
        #[command(flatten)]
        options: Options,
    },
    /// Print a new key for the API under /api/v1. Earlier keys stay good, up to 20 in all.
    ApiKey {
        /// Login name.
        name: Username,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command; it works whether the server runs or not.
pub async fn run(command: UserCommand) -> Result<ExitCode> {
    match command {
        UserCommand::Create { name, admin, email, options } => {
            let store = server::open_store(&options.load()?).await?;
            let password = password()?;
            let account = NewAccount {
                username: name,
                password: password.text,
                email,
                first_name: String::new(),
                last_name: String::new(),
                is_superuser: admin,
            };
            let user = create_account(&store, account).await?;
            let role = if user.is_superuser { "administrator" } else { "user" };
            println!("created {role} {}{}", user.username, password.note);
            store.close().await;
        }
        UserCommand::ResetPassword { name, options } => {
            let store = server::open_store(&options.load()?).await?;
            let password = password()?;
            reset_password(&store, &name, password.text).await?;
            println!("{name} has a new password{}", password.note);
            store.close().await;
        }
        UserCommand::SetupToken { options } => {
            let store = server::open_store(&options.load()?).await?;
            match new_setup_token(&store).await? {
                Some(token) => println!("{token}"),
                None => bail!(
                    "this server has accounts, so no token is needed; to make another administrator, type: slipway user \
                     create NAME --admin"
                ),
            }
            store.close().await;
        }
        UserCommand::ApiKey { name, options } => {
            let store = server::open_store(&options.load()?).await?;
            println!("{}", create_api_key(&store, &name).await?);
            store.close().await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Password {
    text: String,
    /// What is printed about it: the password itself if nobody else knows it.
    note: String,
}

fn password() -> Result<Password> {
    if std::io::stdin().is_terminal() {
        let text = random_hex(12);
        return Ok(Password { note: format!(" with password {text}"), text });
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("reading the password from standard input")?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        let text = random_hex(12);
        return Ok(Password { note: format!(" with password {text}"), text });
    }
    if text.contains('\n') {
        bail!("the password on standard input has more than one line");
    }
    Ok(Password { text, note: String::new() })
}
