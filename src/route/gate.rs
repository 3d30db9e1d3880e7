//! A counter that can be closed: who is inside, and whether anyone may still enter, in one atomic word.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Set once the gate is closed; the other bits count who is inside.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Counts those inside and lets nobody in after [`Gate::close`].
///
/// Count and closed bit share one word, so entering and closing have an order: whoever entered first is counted by
/// everyone who looks after the closing, and whoever comes later is refused.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    word: AtomicUsize,
    emptied: Notify,
}

impl Gate {
    /// Enters, unless the gate is closed. Each success is paired with one [`Gate::leave`].
    pub(crate) fn enter(&self) -> bool {
        let enter = |word: usize| (word & CLOSED == 0).then_some(word + 1);
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    /// Leaves.
    pub(crate) fn leave(&self) {
        if self.word.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Lets nobody in any more. Idempotent.
    pub(crate) fn close(&self) {
        if self.word.fetch_or(CLOSED, Ordering::AcqRel) == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// How many are inside.
    pub(crate) fn inside(&self) -> usize {
        self.word.load(Ordering::Acquire) & !CLOSED
    }

    /// Waits until the gate is closed and nobody is inside; from then on both hold for ever. Cancel-safe.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut notified = pin!(self.emptied.notified());
            // Listening starts before the look, so that a change between look and wait is not missed.
            notified.as_mut().enable();
            if self.word.load(Ordering::Acquire) == CLOSED {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in() {
        let gate = Gate::default();
        assert!(gate.enter());
        gate.close();
        assert!(!gate.enter());
        assert_eq!(gate.inside(), 1);
        gate.leave();
        assert_eq!(gate.inside(), 0);
    }

    /// Threads enter and leave as fast as they can while the gate closes at an arbitrary moment, many times over.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_inside_once_a_closed_gate_was_seen_empty() {
        for round in 0..400u64 {
            let gate = Arc::new(Gate::default());
            let was_empty = Arc::new(AtomicBool::new(false));
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (gate, was_empty) = (gate.clone(), was_empty.clone());
                    std::thread::spawn(move || {
                        let mut entered = 0u64;
                        while gate.enter() {
                            assert!(!was_empty.load(Ordering::SeqCst), "entered after the gate was seen empty");
                            entered += 1;
                            if entered.is_multiple_of(3) {
                                std::thread::yield_now();
                            }
                            assert!(!was_empty.load(Ordering::SeqCst), "still inside when the gate was seen empty");
                            gate.leave();
                        }
                        entered
                    })
                })
                .collect();
            for _ in 0..round * 50 {
                std::hint::spin_loop();
            }
            gate.close();
            tokio::time::timeout(Duration::from_secs(10), gate.emptied()).await.expect("the gate empties");
            was_empty.store(true, Ordering::SeqCst);
            assert_eq!(gate.inside(), 0);
            assert!(!gate.enter());
            for thread in threads {
                thread.join().expect("no thread saw a breach");
            }
        }
    }
}
