//! The line before the hashing of passwords, in which addresses take turns.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::oneshot;

/// Most that wait for one address.
const WAITING_PER_ADDRESS: usize = 16;
/// Most that wait in all: some seconds of hashing.
const WAITING: usize = 256;

/// Who waits: an address, or all those whose address nobody knows.
type Source = Option<IpAddr>;

/// The line. A hash takes 19 MiB and a processor for some milliseconds, so only a few are made at once; the others wait, and
/// whoever asks for many waits behind everybody else's next one. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct HashQueue(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    /// Hashes that may begin at once; none of them while anybody waits.
    free: usize,
    /// Places that were ever taken, which names them.
    places: u64,
    waiting: HashMap<Source, VecDeque<Waiting>>,
    /// Whose turn is next. Each source that waits is in here once.
    order: VecDeque<Source>,
}

#[derive(Debug)]
struct Waiting {
    place: u64,
    call: oneshot::Sender<Turn>,
}

/// Leave to make one hash. Goes to the next in line when it is dropped, so it has to go along with the work.
#[derive(Debug)]
#[must_use = "the next in line is called when this is dropped"]
pub(super) struct Turn(HashQueue);

/// Why there is no turn: too many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineIsFull;

/// A place in the line. It is given up when this is dropped.
#[derive(Debug)]
struct Place {
    queue: HashQueue,
    source: Source,
    number: u64,
    call: oneshot::Receiver<Turn>,
}

impl Default for HashQueue {
    /// One hash at once for each processor but one, which stays for everything else.
    fn default() -> Self {
        Self::of(available_parallelism().map_or(1, |processors| processors.get() - 1).max(1))
    }
}

impl HashQueue {
    fn of(free: usize) -> Self {
        Self(Arc::new(Mutex::new(Line { free, places: 0, waiting: HashMap::new(), order: VecDeque::new() })))
    }

    /// Waits for a turn. Cancel-safe: dropping the future gives the place up.
    ///
    /// # Errors
    /// [`LineIsFull`] at once when too many wait for this address or in all, or later for the last of the address that most wait for,
    /// which makes room for somebody else.
    pub(super) async fn turn(&self, source: Option<IpAddr>) -> Result<Turn, LineIsFull> {
        let mut place = self.join(source)?;
        (&mut place.call).await.map_err(|_| LineIsFull)
    }

    fn join(&self, source: Source) -> Result<Place, LineIsFull> {
        let (call, called) = oneshot::channel();
        let mut line = self.lock();
        let number = line.places;
        if line.free == 0 {
            line.add(source, Waiting { place: number, call })?;
        } else {
            line.free -= 1;
            // The receiver is still here.
            let _sent = call.send(Turn(self.clone()));
        }
        line.places += 1;
        Ok(Place { queue: self.clone(), source, number, call: called })
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn add(&mut self, source: Source, waiting: Waiting) -> Result<(), LineIsFull> {
        let own = self.waiting.get(&source).map_or(0, VecDeque::len);
        let all: usize = self.waiting.values().map(VecDeque::len).sum();
        if own >= WAITING_PER_ADDRESS || (all >= WAITING && !self.make_room(own + 1)) {
            return Err(LineIsFull);
        }
        if own == 0 {
            self.order.push_back(source);
        }
        self.waiting.entry(source).or_default().push_back(waiting);
        Ok(())
    }

    /// Turns the last away of whoever has the most places, if these are more than `fair`.
    fn make_room(&mut self, fair: usize) -> bool {
        let Some(longest) = self.waiting.values_mut().max_by_key(|line| line.len()) else { return false };
        longest.len() > fair && longest.pop_back().is_some()
    }

    /// Takes the next out of the line: the first of the source whose turn it is, which then is the last to have its turn again.
    fn next(&mut self) -> Option<Waiting> {
        let source = self.order.pop_front()?;
        let line = self.waiting.get_mut(&source)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&source);
        } else {
            self.order.push_back(source);
        }
        next
    }

    fn leave(&mut self, source: Source, place: u64) {
        let Some(line) = self.waiting.get_mut(&source) else { return };
        line.retain(|waiting| waiting.place != place);
        if line.is_empty() {
            self.waiting.remove(&source);
            self.order.retain(|other| *other != source);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.lock().leave(self.source, self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        loop {
            let mut line = self.0.lock();
            let Some(next) = line.next() else {
                line.free += 1;
                return;
            };
            drop(line);
            match next.call.send(Self(self.0.clone())) {
                Ok(()) => return,
                // That one has just given up. This turn is still ours to pass on.
                Err(unused) => std::mem::forget(unused),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Source {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn is_called(place: &mut Place) -> Option<Turn> {
        place.call.try_recv().ok()
    }

    /// A queue whose only turn is taken.
    async fn busy() -> (HashQueue, Turn) {
        let queue = HashQueue::of(1);
        let turn = queue.turn(None).await.unwrap();
        (queue, turn)
    }

    #[tokio::test]
    async fn whoever_asks_for_many_waits_behind_everybody_elses_next_one() {
        let (queue, turn) = busy().await;
        let mut flood: Vec<_> = (0..WAITING_PER_ADDRESS).map(|_| queue.join(address(1)).unwrap()).collect();
        assert_eq!(queue.join(address(1)).err(), Some(LineIsFull));
        let (mut alice, mut carol) = (queue.join(address(2)).unwrap(), queue.join(address(3)).unwrap());
        drop(turn);
        let turn = is_called(&mut flood[0]).expect("it came first");
        assert!(is_called(&mut alice).is_none());
        drop(turn);
        let turn = is_called(&mut alice).expect("one turn of the flood, then hers");
        drop(turn);
        let turn = is_called(&mut carol).expect("then the next one's");
        drop(turn);
        drop(is_called(&mut flood[1]).expect("then the flood's again"));
        for place in &mut flood[2..] {
            drop(is_called(place).expect("nobody is forgotten"));
        }
        assert_eq!(queue.lock().free, 1);
    }

    #[tokio::test]
    async fn a_full_line_takes_its_room_from_whoever_has_the_most() {
        let (queue, turn) = busy().await;
        let addresses = u8::try_from(WAITING / WAITING_PER_ADDRESS).unwrap();
        let mut flood: Vec<_> = (0..addresses)
            .flat_map(|last| std::iter::repeat_n(address(last), WAITING_PER_ADDRESS))
            .map(|source| queue.join(source).unwrap())
            .collect();
        let mut alice = queue.join(address(200)).unwrap();
        let away = flood.iter_mut().filter_map(|place| place.call.try_recv().err());
        assert_eq!(away.filter(|error| *error == oneshot::error::TryRecvError::Closed).count(), 1);
        assert_eq!(queue.lock().waiting.values().map(VecDeque::len).sum::<usize>(), WAITING);
        drop(flood);
        drop(turn);
        assert!(is_called(&mut alice).is_some());
    }

    #[tokio::test]
    async fn who_hangs_up_gives_the_place_and_the_turn_up() {
        let (queue, turn) = busy().await;
        let (gone, called, mut alice) =
            (queue.join(address(1)).unwrap(), queue.join(address(2)).unwrap(), queue.join(address(3)).unwrap());
        drop(gone);
        assert_eq!(queue.lock().order.len(), 2);
        drop(turn);
        assert!(is_called(&mut alice).is_none());
        // It has its turn and never takes it.
        drop(called);
        assert!(is_called(&mut alice).is_some());
        drop(alice);
        let line = queue.lock();
        assert_eq!((line.free, line.order.len(), line.waiting.len()), (1, 0, 0));
    }

    #[tokio::test]
    async fn no_more_hashes_than_places_are_made_at_once() {
        let queue = HashQueue::of(2);
        let turns = [queue.turn(address(1)).await.unwrap(), queue.turn(address(2)).await.unwrap()];
        let mut waiting = queue.join(address(3)).unwrap();
        assert!(is_called(&mut waiting).is_none());
        drop(turns);
        assert!(is_called(&mut waiting).is_some());
        assert_eq!(queue.lock().free, 2);
    }
}
