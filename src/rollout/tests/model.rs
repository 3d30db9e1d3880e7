//! Rollouts against a model: whatever is asked for, with whatever strategy, and whatever the engine does meanwhile (it
//! fails, it says that it failed at what it did, it hangs until the server is killed, it tells things twice), the app is
//! afterwards what it was before, or what was asked for, and never anything else.

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;
use crate::model::{Instance, InstanceState, ProcessType};
use crate::store::{operations, releases};

const SILENT: &str = "test/silent:1";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// A release with so many of each type.
    Release { web: u32, worker: u32 },
    /// A release that never listens.
    SilentRelease,
    /// So many of each type of the release that runs.
    Scale { web: u32, worker: u32 },
    /// Fresh instances of everything.
    Restart,
}

/// What the engine does meanwhile, from or at the `nth` call of the verb.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Fail {
        verb: &'static str,
        nth: usize,
    },
    Lie {
        verb: &'static str,
        nth: usize,
    },
    /// The server is killed while the call hangs.
    Hang {
        verb: &'static str,
        nth: usize,
    },
    /// An instance dies by itself.
    Crash,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    ask: Ask,
    strategy: &'static str,
    surge: &'static str,
    fault: Fault,
}

/// What the app is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Model {
    version: i64,
    web: u32,
    worker: u32,
}

impl Model {
    /// The number of a release that failed is used again, but not before everything of it is gone.
    fn after(self, ask: Ask, version: i64) -> Self {
        match ask {
            Ask::Release { web, worker } => Self { version, web, worker },
            Ask::SilentRelease => Self { version, ..self },
            Ask::Scale { web, worker } => Self { web, worker, ..self },
            Ask::Restart => self,
        }
    }

    fn count(self) -> usize {
        usize::try_from(self.web + self.worker).unwrap()
    }
}

fn asks() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (0..4u32, 0..3u32).prop_map(|(web, worker)| Ask::Release { web, worker }),
        1 => Just(Ask::SilentRelease),
        1 => (0..4u32, 0..3u32).prop_map(|(web, worker)| Ask::Scale { web, worker }),
        2 => Just(Ask::Restart),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    let verbs = prop::sample::select(vec![
        "create_container",
        "start_container",
        "container",
        "stop_container",
        "remove_container",
        "ensure_network",
        "containers",
    ]);
    let lies = prop::sample::select(vec!["create_container", "start_container", "stop_container", "remove_container"]);
    prop_oneof![
        2 => Just(Fault::None),
        3 => (verbs.clone(), 1..6usize).prop_map(|(verb, nth)| Fault::Fail { verb, nth }),
        2 => (lies, 1..6usize).prop_map(|(verb, nth)| Fault::Lie { verb, nth }),
        3 => (verbs, 1..6usize).prop_map(|(verb, nth)| Fault::Hang { verb, nth }),
        1 => Just(Fault::Crash),
    ]
}

fn rounds() -> impl Strategy<Value = Round> {
    let strategies = prop::sample::select(vec!["beside", "rolling", "stop-first", ""]);
    (asks(), strategies, prop::sample::select(vec!["1", "2"]), faults())
        .prop_map(|(ask, strategy, surge, fault)| Round { ask, strategy, surge, fault })
}

impl World {
    /// Has the engine misbehave.
    async fn misbehave(&self, fault: Fault) {
        let at = |verb, nth| self.engine.calls(verb) + nth;
        match fault {
            Fault::None => {}
            Fault::Fail { verb, nth } => self.engine.fail_from(verb, at(verb, nth)),
            Fault::Lie { verb, nth } => self.engine.lie_at(verb, at(verb, nth)),
            Fault::Hang { verb, nth } => self.engine.hang_from(verb, at(verb, nth)),
            Fault::Crash => {
                let running = self.engine.containers_now().into_iter();
                let mut running = running.filter(|it| it.state == crate::engine::ContainerState::Running);
                if let Some(victim) = running.next() {
                    self.engine.crash(&victim.id, 1);
                }
            }
        }
    }

    /// Does what is asked for; yields whether it was done, or `None` if the server has to be killed to end it, and what
    /// the app is then to be.
    async fn ask(&self, ask: Ask, model: Model) -> (Option<bool>, Model) {
        let release = matches!(ask, Ask::Release { .. } | Ask::SilentRelease);
        let target = match ask {
            Ask::Release { .. } => self.cut().await,
            Ask::SilentRelease => self.cut_of(SILENT).await,
            Ask::Scale { .. } | Ask::Restart if model.version == 0 => return (Some(false), model),
            Ask::Scale { .. } | Ask::Restart => self.latest().await,
        };
        let kind = match ask {
            Ask::Scale { .. } => OperationKind::Scale,
            Ask::Restart => OperationKind::Restart,
            _ => OperationKind::Config,
        };
        let wanted = model.after(ask, target.release.version);
        let mut journal = self.journal(kind).await;
        if release {
            journal.step(Step::Release).await.unwrap();
            operations::set_release(self.store.pool(), &journal.operation().id, target.release.id).await.unwrap();
        }
        let (rollouts, rows) = (self.rollouts.clone(), self.rows().await);
        let mut work = JoinSet::new();
        work.spawn(async move {
            let ids: Vec<InstanceId> = rows.iter().map(|i| i.id).collect();
            let scope = match ask {
                Ask::Scale { .. } => Scope::Difference,
                Ask::Restart => Scope::Only(&ids),
                _ => Scope::Replace,
            };
            let formation = formation(wanted.web, wanted.worker);
            let done = rollouts.run(&mut journal, &target, &formation, scope, &|_| {}).await;
            (done.is_ok(), journal)
        });
        let ended = tokio::time::timeout(Duration::from_millis(2500), work.join_next()).await;
        let Ok(ended) = ended else {
            work.shutdown().await;
            return (None, wanted);
        };
        let (is_done, journal) = ended.unwrap().unwrap();
        if !is_done && release {
            // As the platform does; what still has instances goes with them.
            let _later = releases::delete_pending(self.store.pool(), self.app.id).await;
        }
        journal.finish(OperationStatus::Succeeded, "").await.unwrap();
        (Some(is_done), wanted)
    }

    async fn rows(&self) -> Vec<Instance> {
        instances::of_app(self.store.pool(), self.app.id).await.unwrap()
    }

    /// What the app is now, once it has come to rest; the last difference when it does not.
    async fn at_rest(&self, expect: Model) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let difference = self.difference(expect).await;
            match difference {
                None => return Ok(()),
                Some(difference) if Instant::now() > deadline => return Err(difference),
                Some(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn difference(&self, expect: Model) -> Option<String> {
        let rows = self.rows().await;
        let count = |process: &str| rows.iter().filter(|i| i.process.as_str() == process).count();
        let wanted = (usize::try_from(expect.web).unwrap(), usize::try_from(expect.worker).unwrap());
        let version = releases::latest(self.store.pool(), self.app.id).await.unwrap().map_or(0, |it| it.version);
        let mut ids: Vec<InstanceId> = rows.iter().filter(|i| i.process == ProcessType::web()).map(|i| i.id).collect();
        let mut upstreams = self.table.upstreams(&self.app.name);
        ids.sort();
        upstreams.sort();
        let containers = self.engine.containers_now();
        let running = self.engine.running_now();
        let is_right = rows.iter().all(|i| i.state == InstanceState::Live && i.version == expect.version)
            && (count("web"), count("worker")) == wanted
            && version == expect.version
            && ids == upstreams
            && containers.len() == rows.len()
            && running.len() == rows.len()
            && running.iter().all(|name| name.contains(&format!("_v{}.", expect.version)));
        (!is_right).then(|| {
            let rows: Vec<String> = rows.iter().map(|i| format!("v{} {} {}", i.version, i.label(), i.state)).collect();
            format!("wanted {expect:?}; v{version}, {rows:?}, {running:?} of {}, {upstreams:?}", containers.len())
        })
    }

    async fn latest(&self) -> Target {
        let release = releases::latest(self.store.pool(), self.app.id).await.unwrap().unwrap();
        let build = crate::store::builds::get(self.store.pool(), release.build_id.unwrap()).await.unwrap().unwrap();
        let config =
            crate::store::configs::get(self.store.pool(), self.store.sealer(), release.config_id).await.unwrap();
        Target { app: self.app.clone(), release, build, config }
    }
}

/// Most containers that may run at once; `None` where the release that runs decides, not the one that is asked for.
fn most(round: Round, before: Model, after: Model) -> Option<usize> {
    let (old, new) = (before.count(), after.count());
    match (round.ask, round.strategy) {
        (Ask::Restart, _) => None,
        (Ask::Scale { .. }, _) => Some(old + new),
        (_, "stop-first") => Some(old.max(new)),
        (_, "rolling") => Some(old.max(new) + round.surge.parse::<usize>().unwrap()),
        _ => Some(old + new),
    }
}

async fn play(rounds: Vec<Round>) -> Result<(), TestCaseError> {
    let mut world = World::new().await;
    world.engine.add_image(SILENT, &[5000]);
    world.engine.tell_twice();
    world.supervise();
    let mut model = Model::default();
    for round in rounds {
        world.set(&[("SLIPWAY_STRATEGY", round.strategy), ("SLIPWAY_STRATEGY_SURGE", round.surge)]);
        world.engine.most_running();
        world.misbehave(round.fault).await;
        let (outcome, wanted) = world.ask(round.ask, model).await;
        world.engine.heal();
        let has_switched = match outcome {
            Some(is_done) => is_done,
            None => {
                world.die().await;
                let has_switched = world.recover().await;
                world.supervise();
                has_switched
            }
        };
        if let (Some(true | false), Fault::Hang { .. }) = (outcome, round.fault) {
            // It may be the supervisor that hangs.
            world.supervise_anew().await;
        }
        let peak = world.engine.most_running();
        let is_bounded = most(round, model, wanted).is_none_or(|most| peak <= most);
        prop_assert!(is_bounded, "{peak} ran at once: {round:?} on {model:?}");
        let silent_switched = has_switched && matches!(round.ask, Ask::SilentRelease) && wanted.web > 0;
        prop_assert!(!silent_switched, "a release that never listens was switched to");
        if has_switched {
            model = wanted;
        }
        let rest = world.at_rest(model).await;
        prop_assert!(rest.is_ok(), "{}: after {round:?}, switched: {has_switched}", rest.unwrap_err());
    }
    world.stop.cancel();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 30, ..ProptestConfig::default() })]

    #[test]
    fn an_app_is_what_it_was_or_what_was_asked_for(rounds in proptest::collection::vec(rounds(), 1..5)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(rounds))?;
    }
}
