//! Whose turn it is: no more builds at once than the machine can bear, the others by turns of their owners.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::LineSink;
use crate::model::{Quota, QuotaExceeded, QuotaKind, UserId};

/// How many builds an owner may have.
#[derive(Debug, Clone, Copy)]
pub struct BuildPlaces {
    /// At work at once.
    pub at_once: Quota,
    /// Waiting for a turn.
    pub waiting: Quota,
}

impl BuildPlaces {
    /// As many as there are.
    pub const UNLIMITED: Self = Self { at_once: Quota::Unlimited, waiting: Quota::Unlimited };
}

/// What the clock moves by, so that there is a time between two turns.
const TURN: u64 = 2;

/// The queue. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes everybody who waits whenever somebody comes or leaves.
    moved: Notify,
}

/// Invariant: whoever could be at work is; [`State::fill`] is called after every change.
#[derive(Debug)]
struct State {
    at_once: usize,
    next_ticket: u64,
    /// Counts turns. An owner whose last turn is longer ago comes first.
    clock: u64,
    /// When each owner with a build in the queue had the last turn, or came.
    served: HashMap<UserId, u64>,
    working: Vec<Ticket>,
    /// In order of arrival.
    waiting: Vec<Ticket>,
}

#[derive(Debug, Clone, Copy)]
struct Ticket {
    number: u64,
    owner: UserId,
    at_once: Quota,
}

/// A place in the queue, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    ticket: u64,
}

impl Queue {
    pub fn new(at_once: NonZeroUsize) -> Self {
        let state = State {
            at_once: at_once.get(),
            next_ticket: 0,
            clock: 0,
            served: HashMap::new(),
            working: Vec::new(),
            waiting: Vec::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), moved: Notify::new() }))
    }

    /// Waits for a turn, which lasts until the place is dropped; says how many are before whenever that changes.
    ///
    /// Owners take turns, each with the oldest of their builds. Cancel-safe: dropping the future leaves the queue.
    ///
    /// # Errors
    /// When the owner has as many builds waiting as may wait.
    pub async fn turn(
        &self,
        owner: UserId,
        name: &str,
        places: BuildPlaces,
        on_line: LineSink<'_>,
    ) -> Result<Place, QuotaExceeded> {
        let place = self.enter(owner, name, places)?;
        let mut said = None;
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            // Listened for from before the look, so that no move in between is missed.
            moved.as_mut().enable();
            match self.lock().before(place.ticket) {
                0 => return Ok(place),
                before if said == Some(before) => {}
                before => {
                    let (builds, go) = if before == 1 { ("build", "goes") } else { ("builds", "go") };
                    on_line(&format!("-----> Waiting for a turn to build: {before} {builds} {go} first"));
                    said = Some(before);
                }
            }
            moved.await;
        }
    }

    /// How many are building, and how many wait.
    pub fn lengths(&self) -> (usize, usize) {
        let state = self.lock();
        (state.working.len(), state.waiting.len())
    }

    /// How many of an owner are building, and how many wait.
    pub fn lengths_of(&self, owner: UserId) -> (u64, u64) {
        let state = self.lock();
        (count(&state.working, owner), count(&state.waiting, owner))
    }

    fn enter(&self, owner: UserId, name: &str, places: BuildPlaces) -> Result<Place, QuotaExceeded> {
        let mut state = self.lock();
        let number = state.next_ticket;
        state.next_ticket += 1;
        // Before whom the present turn was given to, and behind everybody who waits since an earlier one.
        let came = state.clock.saturating_sub(1);
        state.served.entry(owner).or_insert(came);
        let waiting = count(&state.waiting, owner);
        state.waiting.push(Ticket { number, owner, at_once: places.at_once });
        state.fill();
        let has_to_wait = state.waiting.iter().any(|ticket| ticket.number == number);
        let checked =
            QuotaExceeded::check(name, QuotaKind::WaitingBuilds, places.waiting, waiting, u64::from(has_to_wait));
        if checked.is_err() {
            state.leave(number);
        }
        drop(state);
        // Somebody has come before others.
        self.0.moved.notify_waiters();
        checked.map(|()| Place { queue: self.clone(), ticket: number })
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives turns as long as there are places.
    fn fill(&mut self) {
        while self.working.len() < self.at_once {
            let may_work = |ticket: &Ticket| match ticket.at_once {
                Quota::AtMost(limit) => count(&self.working, ticket.owner) < limit,
                Quota::Unlimited => true,
            };
            let Some(next) = next(&self.waiting, &self.served, may_work) else { return };
            let ticket = self.waiting.remove(next);
            self.clock += TURN;
            self.served.insert(ticket.owner, self.clock);
            self.working.push(ticket);
        }
    }

    fn leave(&mut self, number: u64) {
        self.working.retain(|ticket| ticket.number != number);
        self.waiting.retain(|ticket| ticket.number != number);
        let (working, waiting) = (&self.working, &self.waiting);
        self.served.retain(|owner, _| working.iter().chain(waiting).any(|ticket| ticket.owner == *owner));
        self.fill();
    }

    /// How many have to leave before it is the ticket's turn, if nobody else comes. An owner's own limit may delay it further.
    fn before(&self, number: u64) -> usize {
        if self.working.iter().any(|ticket| ticket.number == number) {
            return 0;
        }
        let (mut waiting, mut served, mut clock) = (self.waiting.clone(), self.served.clone(), self.clock);
        let mut before = 1;
        while let Some(index) = next(&waiting, &served, |_| true) {
            let ticket = waiting.remove(index);
            if ticket.number == number {
                break;
            }
            clock += TURN;
            served.insert(ticket.owner, clock);
            before += 1;
        }
        before
    }
}

/// The oldest build of the owner who waits longest for a turn.
fn next(waiting: &[Ticket], served: &HashMap<UserId, u64>, may_work: impl Fn(&Ticket) -> bool) -> Option<usize> {
    let turn = |ticket: &Ticket| (served.get(&ticket.owner).copied().unwrap_or_default(), ticket.number);
    let candidates = waiting.iter().enumerate().filter(|(_, ticket)| may_work(ticket));
    candidates.min_by_key(|(_, ticket)| turn(ticket)).map(|(index, _)| index)
}

fn count(tickets: &[Ticket], owner: UserId) -> u64 {
    tickets.iter().map(|ticket| u64::from(ticket.owner == owner)).sum()
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.lock().leave(self.ticket);
        self.queue.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    const FREE: BuildPlaces = BuildPlaces::UNLIMITED;

    async fn turn(queue: &Queue, owner: UserId) -> Place {
        queue.turn(owner, "bob", FREE, &|_| {}).await.unwrap()
    }

    #[tokio::test]
    async fn turns_come_in_order_and_those_who_wait_see_their_place() {
        let queue = Queue::new(NonZeroUsize::new(2).unwrap());
        let said = Mutex::new(Vec::new());
        let on_line = |line: &str| said.lock().unwrap().push(line.to_owned());
        let owner = UserId::new();
        let first = turn(&queue, owner).await;
        let second = turn(&queue, owner).await;
        let mut third = Box::pin(turn(&queue, owner));
        assert!(third.as_mut().now_or_never().is_none());
        let mut fourth = Box::pin(queue.turn(owner, "bob", FREE, &on_line));
        assert!(fourth.as_mut().now_or_never().is_none());
        assert_eq!((queue.lengths(), queue.lengths_of(owner)), ((2, 2), (2, 2)));
        drop(second);
        let third = third.await;
        assert!(fourth.as_mut().now_or_never().is_none(), "the third took the place");
        assert_eq!(
            *said.lock().unwrap(),
            [
                "-----> Waiting for a turn to build: 2 builds go first",
                "-----> Waiting for a turn to build: 1 build goes first"
            ]
        );
        drop((first, third));
        fourth.await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_up() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let owner = UserId::new();
        let first = turn(&queue, owner).await;
        let mut second = Box::pin(turn(&queue, owner));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = Box::pin(turn(&queue, owner));
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        third.await;
    }

    #[tokio::test]
    async fn owners_have_limits_of_their_own() {
        let queue = Queue::new(NonZeroUsize::new(3).unwrap());
        let places = BuildPlaces { at_once: Quota::AtMost(1), waiting: Quota::AtMost(1) };
        let (alice, bob) = (UserId::new(), UserId::new());
        let first = queue.turn(bob, "bob", places, &|_| {}).await.unwrap();
        let mut second = Box::pin(queue.turn(bob, "bob", places, &|_| {}));
        assert!(second.as_mut().now_or_never().is_none(), "there is room, and not for bob");
        let refused = queue.turn(bob, "bob", places, &|_| {}).await.unwrap_err();
        assert_eq!((refused.kind, refused.used, refused.limit), (QuotaKind::WaitingBuilds, 1, 1));
        assert_eq!(queue.lengths_of(bob), (1, 1), "what was refused leaves nothing");
        queue.turn(alice, "alice", places, &|_| {}).await.unwrap();
        drop(first);
        second.await.unwrap();
    }

    /// One place; who waits is served in the order that is foretold.
    fn order(arrivals: &[usize]) -> Vec<usize> {
        let owners: Vec<UserId> = (0..4).map(|_| UserId::new()).collect();
        let queue = Queue::new(NonZeroUsize::MIN);
        let mut places: Vec<(usize, Place)> =
            arrivals.iter().map(|&one| (one, queue.enter(owners[one], "bob", FREE).unwrap())).collect();
        let mut served = Vec::new();
        while !places.is_empty() {
            let foretold: Vec<usize> = places.iter().map(|(_, place)| queue.lock().before(place.ticket)).collect();
            let now = foretold.iter().position(|before| *before == 0).expect("somebody works");
            let mut sorted = foretold;
            sorted.sort_unstable();
            assert_eq!(sorted, (0..places.len()).collect::<Vec<_>>(), "everybody has a place of their own");
            served.push(places.remove(now).0);
        }
        served
    }

    #[test]
    fn the_second_owner_waits_for_one_build_and_not_for_a_backlog() {
        assert_eq!(order(&[0, 0, 0, 0, 1]), [0, 1, 0, 0, 0]);
        assert_eq!(order(&[0, 0, 0, 1, 1, 2]), [0, 1, 2, 0, 1, 0]);
    }

    proptest! {
        #[test]
        fn between_two_turns_of_an_owner_nobody_else_has_more_than_one(arrivals in prop::collection::vec(0..4usize, 1..24)) {
            let served = order(&arrivals);
            for owner in 0..4 {
                let of = |list: &[usize], who: usize| list.iter().filter(|one| **one == who).count();
                prop_assert_eq!(of(&served, owner), of(&arrivals, owner));
                let turns: Vec<usize> = (0..served.len()).filter(|at| served[*at] == owner).collect();
                // The first turn of all was given before the others came.
                let waits = turns.first().map(|first| (1.min(*first), *first)).into_iter()
                    .chain(turns.windows(2).map(|pair| (pair[0] + 1, pair[1])));
                for (from, to) in waits {
                    for other in (0..4).filter(|other| *other != owner) {
                        prop_assert!(of(&served[from..to], other) <= 1, "{owner} waits for {other}: {served:?}");
                    }
                }
            }
        }
    }
}
