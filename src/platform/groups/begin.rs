//! Check and transition in one transaction: whoever gets the app's lock in it may go on, everybody else is refused.

use tokio::time::{Instant, sleep};

use crate::model::{
    App, BuildId, BuildKind, GroupAction, GroupCounts, GroupId, GroupInstance, GroupInstanceState as State, GroupState,
    GroupWork, InstanceId, Operation, OperationKind, ProcessGroup, QuotaKind, ReleaseId, ReleaseStatus, Timestamp,
    User,
};
use crate::platform::operations::{LOOK, Live};
use crate::platform::{Error, Platform};
use crate::release::Change;
use crate::rollout::lowest_free_number;
use crate::store::builds::{self, NewBuild};
use crate::store::group_instances::{self, Move, Of};
use crate::store::quotas::Wanted;
use crate::store::{StoreError, Transaction, apps, instances, operations, process_groups, releases};

/// How long an action waits for clean-up, which nobody asked for.
const CLEANUP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What a request wants to be done with a group.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    Start,
    Stop,
    Scale(u32),
    /// All instances anew, from this image.
    Replace(String),
    Terminate,
}

impl Intent {
    fn action(&self) -> GroupAction {
        match self {
            Self::Start => GroupAction::Start,
            Self::Stop => GroupAction::Stop,
            Self::Scale(_) => GroupAction::Scale,
            Self::Replace(_) => GroupAction::Redeploy,
            Self::Terminate => GroupAction::Terminate,
        }
    }

    fn kind(&self, is_managed: bool) -> OperationKind {
        match self {
            Self::Start => OperationKind::Start,
            Self::Stop => OperationKind::Stop,
            Self::Scale(_) if is_managed => OperationKind::Resize,
            Self::Scale(_) => OperationKind::Scale,
            Self::Replace(_) if is_managed => OperationKind::Replace,
            Self::Replace(_) => OperationKind::Restart,
            Self::Terminate => OperationKind::Destroy,
        }
    }

    /// As the end of a sentence.
    pub(super) fn said(&self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Scale(_) => "scaled",
            Self::Replace(_) => "redeployed",
            Self::Terminate => "terminated",
        }
    }
}

/// A group and all that decides what may be done with it, read in one transaction.
pub(super) struct Subject {
    pub group: ProcessGroup,
    pub app: App,
    pub instances: Vec<GroupInstance>,
    pub holder: Option<Operation>,
}

impl Subject {
    fn counts(&self) -> GroupCounts {
        GroupCounts::of(self.instances.iter().map(|one| (one.state, one.is_automatic)))
    }

    fn work(&self) -> GroupWork {
        self.holder.as_ref().map_or(GroupWork::None, |holder| GroupWork::Under(holder.kind))
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &GroupInstance> {
        self.instances.iter().filter(|one| one.state.is_live())
    }
}

impl Platform {
    /// Records an intent on a managed group and takes its app's lock, or refuses.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a group that is not this owner's, [`Error::Refused`] in a state that does not allow it.
    pub(super) async fn begin_on_group(
        &self,
        owner: &User,
        id: GroupId,
        intent: &Intent,
    ) -> Result<(Live, ProcessGroup), Error> {
        let deadline = Instant::now() + CLEANUP_PATIENCE;
        let known = self.owned_group(owner, id).await?;
        loop {
            // The engine knows how instances of apps are; it is asked before the transaction.
            let of_app = if known.is_managed { None } else { Some(self.counts_of_type(&known).await?) };
            let mut tx = self.0.store.begin().await?;
            let subject = self.subject(&mut tx, owner, id).await?;
            let is_cleaned = subject.holder.as_ref().is_some_and(|holder| holder.kind == OperationKind::CleanUp);
            if is_cleaned && Instant::now() < deadline {
                tx.rollback().await.map_err(StoreError::from)?;
                sleep(LOOK).await;
                continue;
            }
            check_action(&subject, of_app, intent)?;
            let kind = intent.kind(subject.group.is_managed);
            let operation = match operations::begin(&mut *tx, kind, &subject.app, owner.username.as_str()).await {
                Ok(operation) => operation,
                Err(StoreError::Duplicate) if Instant::now() < deadline => {
                    // Somebody was quicker; what he does decides in the next round.
                    tx.rollback().await.map_err(StoreError::from)?;
                    sleep(LOOK).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if let Intent::Scale(wanted) = intent
                && subject.group.is_managed
            {
                let coming = self.wanted_of(&subject.group, *wanted);
                self.admit(&mut tx, &subject.app, &operation.id, coming).await?;
                self.ask_for_ports(&mut tx, &subject, *wanted).await?;
            }
            record(&mut tx, &subject, intent, owner, &operation).await?;
            // With the release that it cut, if it did.
            let operation = operations::live_of(&mut *tx, subject.app.id).await?.unwrap_or(operation);
            tx.commit().await.map_err(StoreError::from)?;
            tracing::info!(operation.id = %operation.id, operation.kind = %kind, app.name = %subject.app.name, "an operation begins");
            return Ok((self.live(operation), subject.group));
        }
    }

    /// What a managed group of so many instances comes to.
    pub(super) fn wanted_of(&self, group: &ProcessGroup, instances: u32) -> Wanted {
        let memory = group.size.memory_bytes.unwrap_or(self.0.settings.instance_memory).unsigned_abs();
        Wanted { instances: instances.into(), memory: memory.saturating_mul(instances.into()) }
    }

    async fn ask_for_ports(&self, tx: &mut Transaction, subject: &Subject, wanted: u32) -> Result<(), Error> {
        let present = u64::try_from(subject.live().count()).unwrap_or(u64::MAX);
        let more = u64::from(wanted).saturating_sub(present).saturating_mul(subject.group.ports.len() as u64);
        self.ask_for(tx, subject.group.owner_id, QuotaKind::Ports, more).await
    }

    /// The group with all that decides, behind every other transaction on it.
    pub(super) async fn subject(&self, tx: &mut Transaction, owner: &User, id: GroupId) -> Result<Subject, Error> {
        let missing = || Error::NotFound(format!("application {id}"));
        if !process_groups::lock(&mut **tx, id).await? {
            return Err(missing());
        }
        let group = process_groups::by_id(&mut **tx, id).await?.filter(|group| group.owner_id == owner.id);
        let group = group.ok_or_else(missing)?;
        let app = apps::by_id(&mut **tx, group.app_id).await?;
        let Some(app) = app.filter(|app| !app.is_destroying) else {
            let state = if group.is_terminated() { "terminated" } else { "being terminated" };
            return Err(Error::Refused(format!("application {} is {state}", group.unique_name)));
        };
        let instances = group_instances::list(tx, Of::Group(id)).await?;
        let holder = operations::live_of(&mut **tx, app.id).await?;
        Ok(Subject { group, app, instances, holder })
    }
}

/// Refuses an intent that the state does not allow. `of_app` are the counts of a process type of an app.
fn check_action(subject: &Subject, of_app: Option<GroupCounts>, intent: &Intent) -> Result<(), Error> {
    let (counts, work) = (of_app.unwrap_or_else(|| subject.counts()), subject.work());
    let state = GroupState::derive(work, counts);
    let name = &subject.group.unique_name;
    if !state.allows(intent.action(), work, counts) {
        return Err(Error::Refused(format!("{name} cannot be {} while it is {state}", intent.said())));
    }
    if let Intent::Scale(wanted) = intent
        && *wanted > 1
        && subject.group.ports.iter().any(|port| port.outer.is_some())
    {
        let text = format!("{name} publishes a fixed port of the host, which one container only can have");
        return Err(Error::invalid("wanted", text));
    }
    Ok(())
}

/// Records what is wanted, so that whoever finds it can carry it out.
async fn record(
    tx: &mut Transaction,
    subject: &Subject,
    intent: &Intent,
    by: &User,
    operation: &Operation,
) -> Result<(), Error> {
    let group = &subject.group;
    match intent {
        Intent::Start | Intent::Stop if !group.is_managed => {
            process_groups::set_should_run(&mut **tx, group.id, matches!(intent, Intent::Start)).await?;
            if matches!(intent, Intent::Stop) {
                instances::halt(&mut **tx, group.app_id, &group.process).await?;
            }
        }
        Intent::Start => {
            process_groups::set_should_run(&mut **tx, group.id, true).await?;
            let start = Move::Start;
            move_all(tx, subject, &[State::Init, State::Stopped], &start).await?;
        }
        Intent::Stop => {
            process_groups::set_should_run(&mut **tx, group.id, false).await?;
            move_all(tx, subject, &[State::Running, State::Starting], &Move::Stop).await?;
        }
        Intent::Scale(wanted) if group.is_managed => record_scale(tx, subject, *wanted).await?,
        Intent::Replace(image) if group.is_managed => {
            let release = cut_release(tx, subject, image, by, ReleaseStatus::Pending).await?;
            operations::set_release(&mut **tx, &operation.id, release).await?;
        }
        Intent::Scale(_) | Intent::Replace(_) => {}
        Intent::Terminate => {
            apps::mark_destroying(&mut **tx, subject.app.id).await?;
            let from = [State::Init, State::Starting, State::Running, State::Stopping, State::Stopped];
            move_all(tx, subject, &from, &Move::Terminate).await?;
        }
    }
    Ok(())
}

async fn move_all(tx: &mut Transaction, subject: &Subject, from: &[State], to: &Move) -> Result<(), StoreError> {
    for one in &subject.instances {
        group_instances::advance(&mut **tx, one.id, from, to).await?;
    }
    Ok(())
}

async fn record_scale(tx: &mut Transaction, subject: &Subject, wanted: u32) -> Result<(), Error> {
    process_groups::set_wanted(tx, &subject.group, wanted).await?;
    let mut live: Vec<GroupInstance> = subject.live().cloned().collect();
    live.sort_by_key(|one| one.number);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    for surplus in live.iter().skip(wanted) {
        let from = [State::Init, State::Starting, State::Running, State::Stopping, State::Stopped];
        group_instances::advance(&mut **tx, surplus.id, &from, &Move::Terminate).await?;
    }
    if live.len() < wanted {
        let release = releases::latest(&mut **tx, subject.app.id).await?;
        let release = release.ok_or_else(|| Error::Refused("there is nothing to run".to_owned()))?.id;
        add_instances(tx, &subject.group, &subject.group.image, release, &live, wanted - live.len()).await?;
    }
    Ok(())
}

/// Records new instances that are to be started, with the lowest free numbers. Yields their ids.
pub(super) async fn add_instances(
    tx: &mut Transaction,
    group: &ProcessGroup,
    image: &str,
    release: ReleaseId,
    present: &[GroupInstance],
    count: usize,
) -> Result<Vec<InstanceId>, StoreError> {
    let mut all = present.to_vec();
    let mut added = Vec::with_capacity(count);
    for _ in 0..count {
        let new = GroupInstance {
            id: InstanceId::new(),
            group_id: group.id,
            app_id: group.app_id,
            release_id: release,
            number: lowest_free_number(&all),
            state: State::Starting,
            is_automatic: false,
            image: image.to_owned(),
            exit_code: None,
            exit_message: None,
            ports: Vec::new(),
            created_at: Timestamp::now(),
            deployed_at: None,
            started_at: None,
            stopped_at: None,
            destroyed_at: None,
        };
        group_instances::insert(&mut **tx, &new).await?;
        added.push(new.id);
        all.push(new);
    }
    Ok(added)
}

/// Cuts a release of a build from `image`, which is fetched later, and the present config.
pub(super) async fn cut_release(
    tx: &mut Transaction,
    subject: &Subject,
    image: &str,
    by: &User,
    status: ReleaseStatus,
) -> Result<ReleaseId, Error> {
    let current = releases::latest(&mut **tx, subject.app.id).await?;
    let current = current.ok_or_else(|| Error::Refused("there is nothing to redeploy".to_owned()))?;
    let build = insert_build(tx, &subject.app, by, image).await?;
    let new = releases::NewRelease {
        app: subject.app.id,
        owner: by.id,
        build: Some(build),
        config: current.config_id,
        summary: Change::Build { by: &by.username, source: image }.summary(),
        status,
    };
    Ok(releases::insert(tx, &new).await?.id)
}

/// Records a build that is an image from elsewhere, to be fetched.
pub(super) async fn insert_build(
    tx: &mut Transaction,
    app: &App,
    by: &User,
    image: &str,
) -> Result<BuildId, StoreError> {
    let id = BuildId::new();
    let short = id.to_string().replace('-', "");
    let new = NewBuild {
        app: app.id,
        owner: by.id,
        kind: BuildKind::Image,
        image: image.to_owned(),
        engine_image: format!("slipway/app-{}:{}", app.name, &short[..12]),
        commit: None,
        dockerfile: String::new(),
    };
    builds::insert(&mut **tx, id, &new).await?;
    Ok(id)
}
