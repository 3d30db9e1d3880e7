//! Which instances a rollout starts and which it stops. Pure.

use super::Target;
use crate::model::{Formation, Instance, InstanceId, InstanceState, OperationId, ProcessType, Timestamp};

/// How much of what runs a rollout replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everything: another release.
    Replace,
    /// Only the difference in counts: the same release.
    Difference,
    /// Only these live instances, each by a fresh one of the same type and number: the same release and counts.
    Only(&'a [InstanceId]),
}

/// What to start and what to stop.
#[derive(Debug)]
pub struct Plan {
    /// New instances, in state planned, with their ids.
    pub start: Vec<Instance>,
    /// Live instances that are no longer wanted.
    pub stop: Vec<Instance>,
}

/// Compares wanted with present. `present` may hold instances in any state; only live ones count.
pub fn plan(
    target: &Target,
    formation: &Formation,
    present: &[Instance],
    scope: Scope<'_>,
    operation: &OperationId,
) -> Plan {
    // What is halted runs again once anybody changes it: its successors are started, it only has to go.
    let counts = |state| matches!(state, InstanceState::Live | InstanceState::Halted);
    let live: Vec<&Instance> = present.iter().filter(|i| counts(i.state)).collect();
    if let Scope::Only(ids) = scope {
        let stop: Vec<Instance> = live.into_iter().filter(|i| ids.contains(&i.id)).cloned().collect();
        let start = stop.iter().map(|old| planned(target, &old.process, old.number, operation)).collect();
        return Plan { start, stop };
    }
    let is_scaled = |process: &ProcessType| {
        let present = live.iter().filter(|i| i.process == *process).count();
        usize::try_from(formation.count(process)).ok() != Some(present)
    };
    let keeps = |instance: &Instance| {
        scope == Scope::Difference
            && instance.number <= formation.count(&instance.process)
            && (instance.state == InstanceState::Live || !is_scaled(&instance.process))
    };
    let stop = live.iter().filter(|i| !keeps(i)).map(|i| (*i).clone()).collect();
    let has = |process: &ProcessType, number: u32| {
        live.iter().any(|i| i.process == *process && i.number == number && keeps(i))
    };
    let start = formation
        .running()
        .flat_map(|(process, count)| (1..=count).map(move |number| (process, number)))
        .filter(|(process, number)| !has(process, *number))
        .map(|(process, number)| planned(target, process, number, operation))
        .collect();
    Plan { start, stop }
}

fn planned(target: &Target, process: &ProcessType, number: u32, operation: &OperationId) -> Instance {
    let now = Timestamp::now();
    Instance {
        id: InstanceId::new(),
        app_id: target.app.id,
        release_id: target.release.id,
        version: target.release.version,
        process: process.clone(),
        number,
        state: InstanceState::Planned,
        operation_id: operation.clone(),
        address: None,
        created_at: now,
        updated_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::target;
    use super::*;

    fn formation(entries: &[(&str, u32)]) -> Formation {
        Formation(entries.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect())
    }

    /// Runs the plan and yields the labels that are started and stopped.
    fn check(live: &[(&str, u32)], wanted: &[(&str, u32)], scope: Scope<'_>, start: &[&str], stop: &[&str]) {
        let target = target();
        let operation = OperationId::new();
        let mut present = plan(&target, &formation(live), &[], Scope::Replace, &operation).start;
        present.iter_mut().for_each(|i| i.state = InstanceState::Live);
        let plan = plan(&target, &formation(wanted), &present, scope, &operation);
        let labels = |list: &[Instance]| list.iter().map(Instance::label).collect::<Vec<_>>();
        assert_eq!(labels(&plan.start), start);
        assert_eq!(labels(&plan.stop), stop);
    }

    #[test]
    fn a_release_replaces_everything() {
        check(&[("web", 2)], &[("web", 1), ("worker", 1)], Scope::Replace, &["web.1", "worker.1"], &["web.1", "web.2"]);
        check(&[], &[("web", 1)], Scope::Replace, &["web.1"], &[]);
        check(&[("web", 1)], &[("web", 0)], Scope::Replace, &[], &["web.1"]);
    }

    #[test]
    fn scaling_touches_only_the_difference() {
        check(&[("web", 1), ("worker", 1)], &[("web", 3), ("worker", 1)], Scope::Difference, &["web.2", "web.3"], &[]);
        check(&[("web", 3)], &[("web", 1)], Scope::Difference, &[], &["web.2", "web.3"]);
        check(&[("web", 1)], &[("web", 1)], Scope::Difference, &[], &[]);
        check(&[("web", 1)], &[], Scope::Difference, &[], &["web.1"]);
    }

    #[test]
    fn a_restart_replaces_what_it_names_number_by_number() {
        let (target, operation) = (target(), OperationId::new());
        let counts = formation(&[("web", 2), ("worker", 1)]);
        let mut present = plan(&target, &counts, &[], Scope::Replace, &operation).start;
        present.iter_mut().for_each(|i| i.state = InstanceState::Live);
        let labels = |list: &[Instance]| list.iter().map(Instance::label).collect::<Vec<_>>();
        let check = |ids: &[InstanceId], expect: &[&str]| {
            let plan = plan(&target, &counts, &present, Scope::Only(ids), &operation);
            assert_eq!((labels(&plan.start), labels(&plan.stop)), (labels(&plan.stop), expect_of(expect)));
            assert!(plan.start.iter().all(|new| present.iter().all(|old| old.id != new.id)));
        };
        let ids: Vec<InstanceId> = present.iter().map(|i| i.id).collect();
        check(&ids[1..2], &["web.2"]);
        check(&ids, &["web.1", "web.2", "worker.1"]);
        check(&[], &[]);
        check(&[InstanceId::new()], &[]);
        present[0].state = InstanceState::Draining;
        let plan = plan(&target, &counts, &present, Scope::Only(&ids[..1]), &operation);
        assert_eq!((plan.start.len(), plan.stop.len()), (0, 0), "it went away meanwhile");
    }

    fn expect_of(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|&label| label.to_owned()).collect()
    }

    #[test]
    fn what_is_halted_is_left_alone_until_its_type_changes() {
        let (target, operation) = (target(), OperationId::new());
        let mut present =
            plan(&target, &formation(&[("web", 2), ("worker", 1)]), &[], Scope::Replace, &operation).start;
        for instance in &mut present {
            let is_web = instance.process.is_routed();
            instance.state = if is_web { InstanceState::Halted } else { InstanceState::Live };
        }
        let check = |wanted: &[(&str, u32)], scope, expect: (&[&str], &[&str])| {
            let plan = plan(&target, &formation(wanted), &present, scope, &operation);
            let labels = |list: &[Instance]| list.iter().map(Instance::label).collect::<Vec<_>>();
            assert_eq!((labels(&plan.start), labels(&plan.stop)), (expect_of(expect.0), expect_of(expect.1)));
        };
        check(&[("web", 2), ("worker", 2)], Scope::Difference, (&["worker.2"], &[]));
        check(&[("web", 3), ("worker", 1)], Scope::Difference, (&["web.1", "web.2", "web.3"], &["web.1", "web.2"]));
        check(&[("web", 2)], Scope::Replace, (&["web.1", "web.2"], &["web.1", "web.2", "worker.1"]));
    }

    #[test]
    fn draining_and_planned_instances_do_not_count() {
        let target = target();
        let operation = OperationId::new();
        let present = plan(&target, &formation(&[("web", 1)]), &[], Scope::Replace, &operation).start;
        let plan = plan(&target, &formation(&[("web", 1)]), &present, Scope::Difference, &operation);
        assert_eq!((plan.start.len(), plan.stop.len()), (1, 0));
    }
}
