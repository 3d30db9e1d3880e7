//! Whose turn it is: no more builds at once than the machine can bear, the others in order of arrival.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::LineSink;

/// The queue. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes everybody who waits whenever somebody leaves.
    moved: Notify,
}

#[derive(Debug)]
struct State {
    at_once: usize,
    next_ticket: u64,
    /// Tickets in order of arrival; the first `at_once` of them are building.
    tickets: VecDeque<u64>,
}

/// A place in the queue, given up when it is dropped.
pub(super) struct Place {
    queue: Queue,
    ticket: u64,
}

impl Queue {
    pub fn new(at_once: NonZeroUsize) -> Self {
        let state = State { at_once: at_once.get(), next_ticket: 0, tickets: VecDeque::new() };
        Self(Arc::new(Shared { state: Mutex::new(state), moved: Notify::new() }))
    }

    /// Waits for a turn, which lasts until the place is dropped; says how many are before whenever that changes.
    ///
    /// Cancel-safe: dropping the future leaves the queue.
    pub async fn turn(&self, on_line: LineSink<'_>) -> Place {
        let place = self.enter();
        let mut said = None;
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            // Listened for from before the look, so that no move in between is missed.
            moved.as_mut().enable();
            match self.before(place.ticket) {
                0 => return place,
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
        let building = state.tickets.len().min(state.at_once);
        (building, state.tickets.len() - building)
    }

    fn enter(&self) -> Place {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.tickets.push_back(ticket);
        Place { queue: self.clone(), ticket }
    }

    /// How many have to leave before it is the ticket's turn.
    fn before(&self, ticket: u64) -> usize {
        let state = self.lock();
        let position = state.tickets.iter().position(|other| *other == ticket).unwrap_or_default();
        (position + 1).saturating_sub(state.at_once)
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.lock().tickets.retain(|ticket| *ticket != self.ticket);
        self.queue.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_those_who_wait_see_their_place() {
        let queue = Queue::new(NonZeroUsize::new(2).unwrap());
        let said = Mutex::new(Vec::new());
        let on_line = |line: &str| said.lock().unwrap().push(line.to_owned());
        let first = queue.turn(&|_| {}).await;
        let second = queue.turn(&|_| {}).await;
        let mut third = Box::pin(queue.turn(&|_| {}));
        assert!(third.as_mut().now_or_never().is_none());
        let mut fourth = Box::pin(queue.turn(&on_line));
        assert!(fourth.as_mut().now_or_never().is_none());
        assert_eq!(queue.lengths(), (2, 2));
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
        fourth.await;
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_up() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let first = queue.turn(&|_| {}).await;
        let mut second = Box::pin(queue.turn(&|_| {}));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = Box::pin(queue.turn(&|_| {}));
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        third.await;
    }
}
