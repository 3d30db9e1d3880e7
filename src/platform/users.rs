//! Accounts: register, log in, recognise.

use std::net::IpAddr;

use super::hash_queue::Turn;
use super::passwords::{hash, verify};
use super::{Error, Platform, Throttle};
use crate::model::{Registration, User, Username};
use crate::store::users::{self, NewUser, Which};
use crate::store::{Sealer, Store, StoreError, Transaction, api_keys, digest, random_hex, settings};

/// An account that somebody asks for.
#[derive(Clone)]
pub struct NewAccount {
    /// Login name.
    pub username: Username,
    /// Any text of at least one character.
    pub password: String,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// Makes an administrator.
    pub is_superuser: bool,
}

/// Who asks for an account, and from where.
#[derive(Debug, Clone, Default)]
pub struct Asker<'a> {
    /// Who it is, if they are logged in.
    pub by: Option<&'a User>,
    /// The address, as far as it is known.
    pub address: Option<IpAddr>,
    /// Whether it came over the API's own address, from this machine or its own network, and was not forwarded.
    pub is_local: bool,
    /// What makes the first account over other ways.
    pub setup_token: Option<String>,
}

/// The setting that holds the digest of the setup token.
const SETUP_TOKEN: &str = "setup_token";
const CLOSED: &str = "registration is not open on this server; ask its administrator for an account, who types: slipway user create \
                      NAME";
const FIRST: &str = "the first account of a server is its administrator's: give the setup token that `slipway serve` printed as \
                     setup_token (`slipway user setup-token` on the host prints a new one), or register at the API's own address";

impl Registration {
    /// Whether somebody may register an account.
    fn lets(self, by: Option<&User>) -> bool {
        match self {
            Self::Open => true,
            Self::AdminOnly => by.is_some_and(|user| user.is_superuser),
            Self::Closed => false,
        }
    }
}

/// Makes a token that lets whoever gives it register the first account, in place of the one before; `None` when there are accounts.
///
/// # Errors
/// When the database fails.
pub async fn new_setup_token(store: &Store) -> Result<Option<String>, Error> {
    if users::count(store.pool(), Which::All).await? > 0 {
        return Ok(None);
    }
    let token = random_hex(16);
    settings::set(store.pool(), SETUP_TOKEN, &digest(&token)).await?;
    Ok(Some(token))
}

impl Platform {
    /// Registers an account at a door. The first account is the administrator; nobody becomes one by registering later.
    ///
    /// # Errors
    /// [`Error::Denied`] when registration is not open to the asker, [`Error::Taken`] for a name in use, [`Error::Throttled`] when too
    /// many come from one address or at once.
    pub async fn register(&self, asker: &Asker<'_>, account: NewAccount) -> Result<User, Error> {
        let attempt = self.0.throttle.begin_registration(asker.address).map_err(Error::Throttled)?;
        let pool = self.0.store.pool();
        let lets = self.0.settings.registration.lets(asker.by);
        let is_first = users::count(pool, Which::All).await? == 0;
        let first =
            if is_first { Some(First::of(asker).ok_or_else(|| Error::Denied(FIRST.to_owned()))?) } else { None };
        if !is_first && !lets {
            return Err(Error::Denied(CLOSED.to_owned()));
        }
        // What counts against an address is each account that it made, and each name that it learned to be taken.
        if users::by_name(pool, account.username.as_str()).await?.is_some() {
            attempt.failed();
            return Err(Error::Taken { field: "username" });
        }
        if let Some(first) = &first {
            first.check(&self.0.store).await?;
        }
        let new = hashed(account, is_first, attempt.turn().await.map_err(Error::Throttled)?).await?;
        let mut tx = self.0.store.begin().await?;
        let made = insert(&mut tx, self.0.store.sealer(), &new).await;
        if !matches!(made, Ok(_) | Err(Error::Taken { .. })) {
            return made;
        }
        attempt.failed();
        let user = made?;
        match first {
            Some(first) if user.is_superuser => first.take(&mut tx).await?,
            // Somebody else was the first meanwhile.
            Some(_) if !lets => return Err(Error::Denied(CLOSED.to_owned())),
            _ => {}
        }
        tx.commit().await.map_err(StoreError::from)?;
        Ok(user)
    }

    /// Checks a password and yields the account's token: the same at every login, as Deis clients expect.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`], [`Error::Disabled`], and [`Error::Throttled`] after too many wrong passwords.
    pub async fn log_in(&self, username: &str, password: &str, from: Option<IpAddr>) -> Result<String, Error> {
        let store = &self.0.store;
        let user = users::by_name(store.pool(), username).await?;
        let user = self.check_password(username, user, password, from).await?;
        let mut tx = store.begin().await?;
        // The password may have been changed while it was looked at.
        if !users::is_in_epoch(&mut tx, user.id, user.epoch).await? {
            return Err(Error::WrongCredentials);
        }
        let token = users::log_in(&mut *tx, store.sealer(), user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(token)
    }

    /// Whether this is the password of `user`, the account that somebody at `from` called `name`.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`] alike for no account and a wrong password, in the same time; [`Error::Disabled`];
    /// [`Error::Throttled`] after too many wrong ones for this name or from this address, whatever the password now, and when too
    /// many are being looked at.
    pub(super) async fn check_password(
        &self,
        name: &str,
        user: Option<User>,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<User, Error> {
        // One count for an account, whatever it was called by.
        let account = user.as_ref().map_or(name, |user| user.username.as_str());
        let attempt = self.0.throttle.begin(account, from).map_err(Error::Throttled)?;
        let hash = match &user {
            Some(user) => users::password_hash(self.0.store.pool(), user.id).await?,
            None => String::new(),
        };
        let turn = attempt.turn().await.map_err(Error::Throttled)?;
        let is_right = verify(password.to_owned(), hash, turn).await?;
        let Some(user) = user.filter(|_| is_right) else {
            attempt.failed();
            return Err(Error::WrongCredentials);
        };
        attempt.succeeded();
        if user.is_active { Ok(user) } else { Err(Error::Disabled) }
    }

    /// Whose token this is.
    pub async fn user_for_token(&self, token: &str) -> Result<Option<User>, Error> {
        let digest = digest(token);
        let (known, seen) = self.0.callers.get(&digest);
        if known.is_some() {
            return Ok(known);
        }
        let user = users::by_token(self.0.store.pool(), token).await?;
        if let Some(user) = &user {
            self.0.callers.remember(seen, digest, user.clone());
        }
        Ok(user)
    }

    /// Whose SSH key has this fingerprint; `None` also for accounts that are switched off.
    pub async fn user_for_key(&self, fingerprint: &str) -> Result<Option<User>, Error> {
        let user = users::by_fingerprint(self.0.store.pool(), fingerprint).await?;
        Ok(user.filter(|user| user.is_active))
    }

    /// The account of that name.
    pub async fn user(&self, name: &Username) -> Result<Option<User>, Error> {
        Ok(users::by_name(self.0.store.pool(), name.as_str()).await?)
    }
}

/// What lets somebody make the first account of all.
enum First {
    /// Being at the API's own address.
    Local,
    /// The setup token, of which this is the digest.
    Token(String),
}

impl First {
    fn of(asker: &Asker<'_>) -> Option<Self> {
        match &asker.setup_token {
            _ if asker.is_local => Some(Self::Local),
            Some(token) => Some(Self::Token(digest(token))),
            None => None,
        }
    }

    /// Before the costly hash; the transaction that makes the account has the last word.
    async fn check(&self, store: &Store) -> Result<(), Error> {
        let Self::Token(digest) = self else { return Ok(()) };
        let is_good = settings::has(store.pool(), SETUP_TOKEN, digest).await?;
        if is_good { Ok(()) } else { Err(Error::Denied(FIRST.to_owned())) }
    }

    /// Uses the token up.
    async fn take(&self, tx: &mut Transaction) -> Result<(), Error> {
        let Self::Token(digest) = self else { return Ok(()) };
        let is_good = settings::take(&mut **tx, SETUP_TOKEN, digest).await?;
        if is_good { Ok(()) } else { Err(Error::Denied(FIRST.to_owned())) }
    }
}

/// Creates an account whoever asks; for the host's own command line. It is an administrator if there is no other account.
///
/// # Errors
/// [`Error::Taken`] for a name in use.
pub async fn create_account(store: &Store, account: NewAccount) -> Result<User, Error> {
    let new = hashed(account, true, own_turn().await?).await?;
    let mut tx = store.begin().await?;
    let user = insert(&mut tx, store.sealer(), &new).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(user)
}

/// A turn in a process that has nobody else to serve.
async fn own_turn() -> Result<Turn, Error> {
    Throttle::default().turn(None).await.map_err(Error::Throttled)
}

/// The account with its password hashed. With `may_be_first` it becomes an administrator's if there is no other account.
async fn hashed(account: NewAccount, may_be_first: bool, turn: Turn) -> Result<NewUser, Error> {
    Ok(NewUser {
        username: account.username,
        email: account.email,
        first_name: account.first_name,
        last_name: account.last_name,
        password_hash: hash(account.password, turn).await?,
        is_superuser: account.is_superuser,
        may_be_first,
    })
}

/// The database has the last word on two who ask for a name at once.
async fn insert(tx: &mut Transaction, sealer: &Sealer, new: &NewUser) -> Result<User, Error> {
    users::insert(tx, sealer, new).await.map_err(|error| match error {
        StoreError::Duplicate => Error::Taken { field: "username" },
        other => other.into(),
    })
}

/// Sets an account's password without knowing the old one; for the host's own command line.
///
/// # Errors
/// [`Error::NotFound`] when there is no such account.
pub async fn reset_password(store: &Store, name: &Username, password: String) -> Result<(), Error> {
    replace_password(store, &known(store, name.as_str()).await?, password, own_turn().await?, None).await
}

/// Gives an account another password. Whoever signed in with the one before has to sign in again.
///
/// # Errors
/// [`Error::WrongCredentials`] when the account is not in the epoch any more in which the old password was looked at.
pub(super) async fn replace_password(
    store: &Store,
    user: &User,
    password: String,
    turn: Turn,
    epoch: Option<i64>,
) -> Result<(), Error> {
    let hash = hash(password, turn).await?;
    let mut tx = store.begin().await?;
    if let Some(epoch) = epoch
        && !users::is_in_epoch(&mut tx, user.id, epoch).await?
    {
        return Err(Error::WrongCredentials);
    }
    users::set_password_hash(&mut *tx, user.id, &hash).await?;
    users::renew_token(&mut *tx, store.sealer(), user.id).await?;
    api_keys::delete_of(&mut *tx, user.id).await?;
    users::advance_epoch(&mut *tx, user.id).await?;
    Ok(tx.commit().await.map_err(StoreError::from)?)
}

/// The account of that name, which has to be there.
pub(super) async fn known(store: &Store, name: &str) -> Result<User, Error> {
    users::by_name(store.pool(), name).await?.ok_or_else(|| Error::NotFound(format!("user '{name}'")))
}
