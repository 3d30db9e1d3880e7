//! A managed group comes into being: app, build, config, release, group and instances in one transaction.

use super::begin::{add_instances, insert_build};
use super::rules::{self, Checked};
use super::{GroupDetail, NewGroup};
use crate::model::{
    AppId, AppName, ConfigValue, ConfigVars, DomainName, Formation, GroupId, GroupLink, GroupPort, Limits,
    OperationKind, ProcessGroup, ProcessType, PublishedPort, QuotaKind, ReleaseStatus, Size, Timestamp, User,
    numbered_name, slug_of,
};
use crate::platform::operations::Live;
use crate::platform::{Error, Platform};
use crate::release::Change;
use crate::rollout::is_port_free;
use crate::store::quotas::{self, Wanted};
use crate::store::{
    StoreError, Transaction, apps, configs, domains, formations, group_instances, operations, process_groups, releases,
};

/// The first port that needs no privilege (the kernel's `ip_unprivileged_port_start`).
const PRIVILEGED: u16 = 1024;
/// Numbers that are tried for a name.
const NAME_TRIES: u32 = 10_000;

impl Platform {
    /// Makes a managed group and begins to deploy it. Its instances are recorded when this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Taken`]; nothing is made then.
    pub async fn create_group(&self, owner: &User, new: NewGroup) -> Result<GroupDetail, Error> {
        let checked = rules::check(&new, &self.reference(&new.image)?)?;
        self.check_ports_of(owner, &checked.ports).await?;
        let is_used = |port: &&GroupPort| port.outer.is_some_and(|outer| !is_port_free(port.protocol, outer));
        if let Some(port) = checked.ports.iter().find(is_used) {
            let text = format!("port {} of the host is in use", port.outer.unwrap_or_default());
            return Err(Error::invalid("ports", text));
        }
        let id = GroupId::new();
        let links = self.resolve_links(owner, id, &new.links).await?;
        if let Some(domain) = &new.domain {
            self.check_domain_of(owner, domain).await?;
        }
        let (platform, owner) = (self.clone(), owner.clone());
        self.owned(async move {
            for n in 1..=NAME_TRIES {
                // A name that the platform keeps for itself is as good as taken.
                let Ok(slug) = slug_of(&checked.name, n) else { continue };
                let naming = Naming { id, unique_name: numbered_name(&checked.name, n), slug };
                if let Some(live) = platform.try_create(&owner, &new, &checked, &naming, &links).await? {
                    platform.0.rollouts.add_app(&naming.slug);
                    platform.certificates_may_be_due();
                    let app = live.operation().app_id;
                    platform.0.logs.note(
                        app,
                        "api",
                        &format!("{} created {} from {}", owner.username, naming.unique_name, checked.image),
                    );
                    if let Some(app) = apps::by_id(platform.0.store.pool(), app).await? {
                        platform.introduce(&app);
                        platform.tell_router(Some(&app)).await;
                    }
                    let detail = platform.group(&owner, id).await;
                    platform.carry_out(live);
                    return detail;
                }
            }
            Err(Error::invalid("name", format!("'{}' is taken with every number", checked.name)))
        })
        .await
    }

    /// One try with a name; `None` when it is taken.
    async fn try_create(
        &self,
        owner: &User,
        new: &NewGroup,
        checked: &Checked,
        naming: &Naming,
        links: &[GroupLink],
    ) -> Result<Option<Live>, Error> {
        let mut tx = self.0.store.begin().await?;
        self.ask_for_group(&mut tx, owner, new, checked).await?;
        let is_taken = process_groups::is_name_taken(&mut *tx, &naming.unique_name).await?
            || apps::by_name(&mut *tx, naming.slug.as_str()).await?.is_some();
        let app = AppId::new();
        match if is_taken {
            Err(StoreError::Duplicate)
        } else {
            apps::insert(&mut *tx, app, &naming.slug, owner.id).await
        } {
            Ok(()) => {}
            Err(StoreError::Duplicate) => {
                tx.rollback().await.map_err(StoreError::from)?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let app = apps::by_id(&mut *tx, app).await?;
        let app = app.ok_or_else(|| Error::Internal(anyhow::anyhow!("a fresh app has no row")))?;
        let sealer = self.0.store.sealer();
        let none = configs::insert(&mut *tx, sealer, app.id, owner.id, &ConfigVars::new(), &Limits::default()).await?;
        let release = |build, config, summary| releases::NewRelease {
            app: app.id,
            owner: owner.id,
            build,
            config,
            summary,
            status: ReleaseStatus::Deployed,
        };
        let initial = Change::Initial { by: &owner.username }.summary();
        releases::insert(&mut tx, &release(None, none, initial)).await?;
        let values: ConfigVars =
            new.environment.iter().map(|(name, value)| (name.clone(), ConfigValue::Text(value.clone()))).collect();
        let limits = limits(&new.size);
        self.check_config(&app, (&values, &limits), (&ConfigVars::new(), &limits)).await?;
        let config = configs::insert(&mut *tx, sealer, app.id, owner.id, &values, &limits).await?;
        let build = insert_build(&mut tx, &app, owner, &checked.image).await?;
        let summary = Change::Build { by: &owner.username, source: &checked.image }.summary();
        let release = releases::insert(&mut tx, &release(Some(build), config, summary)).await?;
        let counts = Formation([(ProcessType::cmd(), new.wanted)].into());
        formations::replace(&mut tx, app.id, &counts).await?;
        let group = group_of(owner, new, checked, naming, app.id);
        process_groups::insert(&mut *tx, &group).await?;
        process_groups::insert_links(&mut tx, links).await?;
        let count = usize::try_from(new.wanted).unwrap_or(usize::MAX);
        let added = add_instances(&mut tx, &group, &checked.image, release.id, &[], count).await?;
        reserve_fixed_ports(&mut tx, &group, added[0]).await?;
        if let Some(domain) = &new.domain {
            insert_domain(&mut tx, domain, app.id, owner).await?;
        }
        let operation = operations::begin(&mut *tx, OperationKind::Launch, &app, owner.username.as_str()).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(Some(self.live(operation)))
    }

    /// Refuses what the owner may not have: an app, instances, memory, ports and a domain more.
    async fn ask_for_group(
        &self,
        tx: &mut Transaction,
        owner: &User,
        new: &NewGroup,
        checked: &Checked,
    ) -> Result<(), Error> {
        let (instances, memory) = (u64::from(new.wanted), new.size.memory_bytes);
        let memory = memory.unwrap_or(self.0.settings.instance_memory).unsigned_abs();
        let wanted = Wanted { instances, memory: memory.saturating_mul(instances) };
        self.ask_for(tx, owner.id, QuotaKind::Apps, 1).await?;
        self.check_wanted(tx, owner.id, AppId::new(), wanted).await?;
        let ports = u64::try_from(checked.ports.len()).unwrap_or(u64::MAX).saturating_mul(instances);
        self.ask_for(tx, owner.id, QuotaKind::Ports, ports).await?;
        if new.domain.is_some() {
            self.ask_for(tx, owner.id, QuotaKind::Domains, 1).await?;
        }
        Ok(())
    }

    /// Refuses ports of the host that are not for everybody, before it is told whether one is in use.
    async fn check_ports_of(&self, owner: &User, ports: &[GroupPort]) -> Result<(), Error> {
        let granted = quotas::granted_ports(self.0.store.pool(), owner.id).await?;
        let (range, own) = (&self.0.settings.port_range, &self.0.settings.own_ports);
        let is_free = |port: u16| granted.contains(&port) || (range.contains(&port) && port >= PRIVILEGED);
        match ports.iter().filter_map(|port| port.outer).find(|port| own.contains(port) || !is_free(*port)) {
            Some(port) => {
                let (first, last) = (range.start().max(&PRIVILEGED), range.end());
                let text = format!(
                    "port {port} of the host is not for {}: choose one from {first} to {last}, or none to be given one, or \
                     ask an administrator to grant it (PATCH /v1/admin/quotas/{} with granted_ports)",
                    owner.username, owner.username
                );
                Err(Error::invalid("ports", text))
            }
            None => Ok(()),
        }
    }

    /// Refuses host names that the group may not have.
    pub(super) async fn check_domain_of(&self, owner: &User, domain: &DomainName) -> Result<(), Error> {
        self.check_domain(owner, domain).await?;
        match domains::by_name(self.0.store.pool(), domain).await? {
            Some(_) => Err(Error::Taken { field: "domain" }),
            None => Ok(()),
        }
    }
}

/// What the group and its app are called.
struct Naming {
    id: GroupId,
    unique_name: String,
    slug: AppName,
}

fn group_of(owner: &User, new: &NewGroup, checked: &Checked, naming: &Naming, app: AppId) -> ProcessGroup {
    ProcessGroup {
        id: naming.id,
        app_id: app,
        process: ProcessType::cmd(),
        owner_id: owner.id,
        owner: owner.username.clone(),
        name: checked.name.clone(),
        unique_name: naming.unique_name.clone(),
        is_managed: true,
        image: checked.image.clone(),
        wanted: new.wanted,
        should_run: true,
        command: checked.command.clone(),
        entrypoint: checked.entrypoint.clone(),
        image_command: Vec::new(),
        image_entrypoint: Vec::new(),
        ports: checked.ports.clone(),
        takes_image_ports: new.ports.is_none(),
        size: new.size.clone(),
        policies: new.policies,
        is_sequential: new.is_sequential,
        grants: new.grants.clone(),
        terms: new.terms.clone(),
        domain: new.domain.as_ref().map(|domain| domain.as_str().to_owned()),
        created_at: Timestamp::now(),
        deployed_at: None,
        started_at: None,
        stopped_at: None,
        destroyed_at: None,
    }
}

/// The size, as the limits of the app's config.
fn limits(size: &Size) -> Limits {
    let of_cmd = |text: String| (ProcessType::cmd().to_string(), ConfigValue::Text(text));
    Limits {
        memory: size.memory_bytes.map(|bytes| of_cmd(format!("{}M", bytes >> 20))).into_iter().collect(),
        cpu: size.cpu_shares.map(|shares| of_cmd(shares.to_string())).into_iter().collect(),
        ..Limits::default()
    }
}

async fn reserve_fixed_ports(
    tx: &mut Transaction,
    group: &ProcessGroup,
    instance: crate::model::InstanceId,
) -> Result<(), Error> {
    for port in &group.ports {
        let Some(outer) = port.outer else { continue };
        let published = PublishedPort { inner: port.inner, protocol: port.protocol, outer };
        group_instances::reserve_port(&mut **tx, instance, published).await.map_err(|error| match error {
            StoreError::Duplicate => Error::Taken { field: "ports" },
            other => other.into(),
        })?;
    }
    Ok(())
}

/// Gives an app a host name of its own, in the caller's transaction.
pub(super) async fn insert_domain(
    tx: &mut Transaction,
    domain: &DomainName,
    app: AppId,
    by: &User,
) -> Result<(), Error> {
    match domains::insert(&mut **tx, domain, app, by.id).await {
        Ok(_) => Ok(()),
        Err(StoreError::Duplicate) => Err(Error::Taken { field: "domain" }),
        Err(error) => Err(error.into()),
    }
}
