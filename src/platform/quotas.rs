//! Quotas: how much of each thing one account may have, and how much it has.

use super::users::known;
use super::{Administrator, Error, Platform};
use crate::build::BuildPlaces;
use crate::model::{App, AppId, ConfigVars, Limits, OperationId, Quota, QuotaExceeded, QuotaKind, User, UserId};
use crate::store::quotas::{self, Account, Wanted};
use crate::store::{StoreError, Transaction, apps, domains, releases};

/// Most ports that one account is granted.
const GRANTS_MAX: usize = 100;

/// One quota of an account.
#[derive(Debug, Clone, Copy)]
pub struct QuotaView {
    /// Of what.
    pub kind: QuotaKind,
    /// How much the account may have.
    pub limit: Quota,
    /// Whether an administrator set that for this account.
    pub is_own: bool,
    /// How much it has. For a config that is the largest one of its apps.
    pub used: u64,
}

/// All quotas of an account.
#[derive(Debug, Clone)]
pub struct QuotaViews {
    /// One of every kind.
    pub quotas: Vec<QuotaView>,
    /// Ports outside of the operator's range that the account may publish.
    pub granted_ports: Vec<u16>,
}

/// What an administrator changes for one account.
#[derive(Debug, Clone, Default)]
pub struct QuotaChange {
    /// New limits; `None` goes back to the operator's.
    pub limits: Vec<(QuotaKind, Option<Quota>)>,
    /// Replaces the granted ports.
    pub granted_ports: Option<Vec<u16>>,
}

impl Platform {
    /// A user's own quotas.
    pub async fn quotas(&self, user: &User) -> Result<QuotaViews, Error> {
        // It reads folders, while nothing waits for the database.
        let repositories = self.repository_bytes(user.id).await?;
        let mut tx = self.0.store.begin().await?;
        let account = quotas::lock(&mut tx, user.id).await?;
        let wanted = quotas::wanted(&mut tx, user.id, self.0.settings.instance_memory).await?;
        let wanted = wanted.into_values().fold(Wanted::default(), Wanted::and);
        let mut views = Vec::with_capacity(QuotaKind::ALL.len());
        for kind in QuotaKind::ALL {
            let used = match quotas::count(&mut *tx, user.id, kind).await? {
                Some(count) => count,
                None => self.used_beside_rows(&mut tx, &account, kind, wanted, repositories).await?,
            };
            let is_own = account.own_limits().contains_key(&kind);
            views.push(QuotaView { kind, limit: account.limit(&self.0.settings.quotas, kind), is_own, used });
        }
        let granted_ports = quotas::granted_ports(&mut *tx, user.id).await?;
        tx.rollback().await.map_err(StoreError::from)?;
        Ok(QuotaViews { quotas: views, granted_ports })
    }

    async fn used_beside_rows(
        &self,
        tx: &mut Transaction,
        account: &Account,
        kind: QuotaKind,
        wanted: Wanted,
        repositories: u64,
    ) -> Result<u64, Error> {
        Ok(match kind {
            QuotaKind::Instances => wanted.instances,
            QuotaKind::Memory => wanted.memory,
            QuotaKind::Repositories => repositories,
            QuotaKind::Config => quotas::largest_config(&mut **tx, account.id).await?,
            QuotaKind::Builds => self.0.builder.queue_of(account.id).0,
            QuotaKind::Releases => quotas::most_releases(&mut **tx, account.id).await?,
            QuotaKind::Disk => self.0.disk_use.of(account.id),
            QuotaKind::WaitingBuilds => self.0.builder.queue_of(account.id).1,
            _ => 0,
        })
    }

    /// Somebody's quotas.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account.
    pub async fn quotas_of(&self, _by: &Administrator, name: &str) -> Result<QuotaViews, Error> {
        self.quotas(&known(&self.0.store, name).await?).await
    }

    /// Sets limits for one account. What it has already stays, also beyond a lower limit.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account, [`Error::Invalid`] for too many ports.
    pub async fn set_quotas(&self, by: &Administrator, name: &str, change: QuotaChange) -> Result<QuotaViews, Error> {
        let user = known(&self.0.store, name).await?;
        if change.granted_ports.as_ref().is_some_and(|ports| ports.len() > GRANTS_MAX || ports.contains(&0)) {
            return Err(Error::invalid("granted_ports", format!("Give at most {GRANTS_MAX} ports from 1 to 65535.")));
        }
        let mut tx = self.0.store.begin().await?;
        for (kind, limit) in &change.limits {
            quotas::set(&mut *tx, user.id, *kind, *limit).await?;
        }
        if let Some(ports) = &change.granted_ports {
            quotas::set_granted_ports(&mut tx, user.id, ports).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        tracing::info!(user.name = %user.username, by = %by.user().username, ?change, "quotas changed");
        self.quotas(&user).await
    }

    /// Refuses more rows of a kind than the account may have; in the transaction that adds them.
    pub(super) async fn ask_for(
        &self,
        tx: &mut Transaction,
        account: UserId,
        kind: QuotaKind,
        more: u64,
    ) -> Result<(), Error> {
        Ok(quotas::check_count(tx, &self.0.settings.quotas, account, kind, more).await??)
    }

    /// Refuses to bring an app to more than its owner may run, and keeps it for the app while the operation is live. What
    /// does not grow is never refused, so that an account beyond a lowered limit can go on with what it has.
    pub(super) async fn admit(
        &self,
        tx: &mut Transaction,
        app: &App,
        operation: &OperationId,
        wanted: Wanted,
    ) -> Result<(), Error> {
        self.check_wanted(tx, app.owner_id, app.id, wanted).await?;
        Ok(quotas::keep(&mut **tx, operation, wanted).await?)
    }

    /// [`Platform::admit`] in a transaction of its own.
    pub(super) async fn admit_now(&self, app: &App, operation: &OperationId, wanted: Wanted) -> Result<(), Error> {
        let mut tx = self.0.store.begin().await?;
        self.admit(&mut tx, app, operation, wanted).await?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// Refuses to let an account run `wanted` as that app, beside all its others.
    pub(super) async fn check_wanted(
        &self,
        tx: &mut Transaction,
        owner: UserId,
        app: AppId,
        wanted: Wanted,
    ) -> Result<(), Error> {
        let account = quotas::lock(tx, owner).await?;
        let all = quotas::wanted(tx, owner, self.0.settings.instance_memory).await?;
        let before = all.get(&app).copied().unwrap_or_default();
        let used = all.into_values().fold(Wanted::default(), Wanted::and);
        let check = |kind, used, before: u64, after: u64| {
            let limit = account.limit(&self.0.settings.quotas, kind);
            QuotaExceeded::check(&account.name, kind, limit, used, after.saturating_sub(before))
        };
        check(QuotaKind::Instances, used.instances, before.instances, wanted.instances)?;
        check(QuotaKind::Memory, used.memory, before.memory, wanted.memory)?;
        Ok(())
    }

    /// Refuses to give an app to an account that may not have what comes with it.
    pub(super) async fn ask_to_take_over(&self, tx: &mut Transaction, app: &App, new: UserId) -> Result<(), Error> {
        self.ask_for(tx, new, QuotaKind::Apps, 1).await?;
        let all = quotas::wanted(tx, app.owner_id, self.0.settings.instance_memory).await?;
        self.check_wanted(tx, new, app.id, all.get(&app.id).copied().unwrap_or_default()).await?;
        let domains = domains::count(&mut **tx, app.id).await?.unsigned_abs();
        self.ask_for(tx, new, QuotaKind::Domains, domains).await
    }

    /// Refuses a config that is larger than the owner's versions may be, and larger than the one before.
    pub(super) async fn check_config(
        &self,
        app: &App,
        new: (&ConfigVars, &Limits),
        old: (&ConfigVars, &Limits),
    ) -> Result<(), Error> {
        let (bytes, before) = (config_bytes(new), config_bytes(old));
        if bytes <= before {
            return Ok(());
        }
        let limit = self.quota(app.owner_id, QuotaKind::Config).await?;
        Ok(QuotaExceeded::check(app.owner.as_str(), QuotaKind::Config, limit, before, bytes - before)?)
    }

    /// Removes releases of an app, with their configs, that are older than its owner may keep.
    pub(super) async fn remove_old_releases(&self, app: &App) -> Result<(), Error> {
        let Quota::AtMost(keep) = self.quota(app.owner_id, QuotaKind::Releases).await? else { return Ok(()) };
        let mut tx = self.0.store.begin().await?;
        releases::remove_old(&mut tx, app.id, keep).await?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// The limit of an account.
    pub(super) async fn quota(&self, account: UserId, kind: QuotaKind) -> Result<Quota, Error> {
        let own = quotas::of(self.0.store.pool(), account).await?;
        Ok(own.get(&kind).copied().unwrap_or_else(|| self.0.settings.quotas.get(kind)))
    }

    /// How many builds the owner of an app may have.
    pub(super) async fn build_places(&self, app: &App) -> Result<BuildPlaces, Error> {
        Ok(BuildPlaces {
            at_once: self.quota(app.owner_id, QuotaKind::Builds).await?,
            waiting: self.quota(app.owner_id, QuotaKind::WaitingBuilds).await?,
        })
    }

    /// How many git processes of a user may run at once.
    pub async fn git_quota(&self, user: &User) -> Result<Quota, Error> {
        self.quota(user.id, QuotaKind::Git).await
    }

    /// Refuses a push that brings the repositories of the app's owner beyond their limit. What git keeps of pushes in
    /// quarantine lies in the repositories and counts, so that of two at once never both go beyond it.
    pub(super) async fn check_repositories(&self, app: &App) -> Result<(), Error> {
        let limit = self.quota(app.owner_id, QuotaKind::Repositories).await?;
        if limit == Quota::Unlimited {
            return Ok(());
        }
        let used = self.repository_bytes(app.owner_id).await?;
        match limit {
            Quota::AtMost(most) if used > most => Err(QuotaExceeded {
                account: app.owner.to_string(),
                kind: QuotaKind::Repositories,
                limit: most,
                used,
                more: 0,
            }
            .into()),
            _ => Ok(()),
        }
    }

    async fn repository_bytes(&self, owner: UserId) -> Result<u64, Error> {
        let owned = apps::owned_by(self.0.store.pool(), owner).await?;
        let repositories = self.0.repositories.clone();
        let measured =
            tokio::task::spawn_blocking(move || owned.iter().map(|app| repositories.size(app.id)).sum::<u64>()).await;
        measured.map_err(|error| Error::Internal(error.into()))
    }
}

/// Bytes of all names and values of a config.
fn config_bytes((values, limits): (&ConfigVars, &Limits)) -> u64 {
    let maps = [values, &limits.memory, &limits.cpu, &limits.tags];
    let bytes = maps.into_iter().flatten().map(|(name, value)| name.len() + value.to_string().len()).sum::<usize>();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
