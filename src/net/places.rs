//! Places of connections on one listener: bounded in all and per address, and the idlest goes when there is none left.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Set in [`Entry::work`] once the connection has lost its place.
const EVICTED: u32 = 1 << 31;

/// How many connections a listener has at once.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// In all.
    pub total: usize,
    /// Of one address: an IPv4 address, or an IPv6 /64, which is what one customer of a provider has.
    pub per_address: usize,
    /// Of these, connections that have not been [established](Place::establish), in all.
    pub starting: usize,
    /// The same of one address.
    pub starting_per_address: usize,
}

impl Bounds {
    /// `total` connections, a quarter of them of one address; an eighth of either may be in a handshake.
    pub const fn of(total: usize) -> Self {
        let share = total.div_ceil(4);
        Self { total, per_address: share, starting: total.div_ceil(8), starting_per_address: share.div_ceil(8) }
    }
}

/// The places of one listener.
///
/// Only the beginning and the end of a connection take its lock; what happens in between is a few atomic steps on the
/// connection's own counter.
#[derive(Debug)]
pub struct Places {
    bounds: Bounds,
    epoch: Instant,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    entries: HashMap<u64, Arc<Entry>>,
    sources: HashMap<IpAddr, Count>,
    all: Count,
}

/// Connections of one address, or of all.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    open: usize,
    starting: usize,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    source: IpAddr,
    /// How many things are done for the client now, and [`EVICTED`].
    work: AtomicU32,
    /// Milliseconds of [`Places::epoch`] since which nothing is.
    idle_since: AtomicU64,
    /// 0 until the client has shown that it means it, then 1.
    established: AtomicU32,
    evicted: CancellationToken,
}

/// What became of a connection.
pub(super) enum Admission {
    /// It has a place.
    Admitted(Place),
    /// Its address has its share, and all of it is at work.
    Refused,
    /// All places are at work.
    Full,
}

/// Whose connections count as one: the IPv4 address, or the /64.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

impl Places {
    /// All free.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, epoch: Instant::now(), taken: Mutex::default(), freed: Notify::new() })
    }

    /// Returns when a connection has ended, if one ends from now on.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Gives a connection of `address` a place: a free one, else that of the idlest of the same address where this one has its
    /// share, or of all.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let (source, bounds, mut taken) = (source(address), self.bounds, self.lock());
        let mine = taken.sources.get(&source).copied().unwrap_or_default();
        if mine.starting >= bounds.starting_per_address
            && !taken.evict(|entry| entry.source == source && entry.is_starting())
        {
            return Admission::Refused;
        }
        let mine = taken.sources.get(&source).copied().unwrap_or_default();
        if mine.open >= bounds.per_address && !taken.evict(|entry| entry.source == source) {
            return Admission::Refused;
        }
        if taken.all.starting >= bounds.starting && !taken.evict(Entry::is_starting) {
            return Admission::Full;
        }
        if taken.all.open >= bounds.total && !taken.evict(|_| true) {
            return Admission::Full;
        }
        let entry = Arc::new(Entry {
            id: taken.next,
            source,
            work: AtomicU32::new(0),
            idle_since: AtomicU64::new(self.now()),
            established: AtomicU32::new(0),
            evicted: CancellationToken::new(),
        });
        taken.add(&entry);
        Admission::Admitted(Place { entry, places: Arc::clone(self) })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nothing panics while it is held")
    }
}

impl Taken {
    fn add(&mut self, entry: &Arc<Entry>) {
        self.next += 1;
        self.entries.insert(entry.id, Arc::clone(entry));
        let mine = self.sources.entry(entry.source).or_default();
        for count in [mine, &mut self.all] {
            count.open += 1;
            count.starting += 1;
        }
    }

    /// Takes an entry out of the books. Says whether it was in them.
    fn remove(&mut self, entry: &Entry) -> bool {
        if self.entries.remove(&entry.id).is_none() {
            return false;
        }
        let starting = usize::from(entry.is_starting());
        let Some(mine) = self.sources.get_mut(&entry.source) else { return true };
        for count in [&mut *mine, &mut self.all] {
            count.open -= 1;
            count.starting -= starting;
        }
        if mine.open == 0 {
            self.sources.remove(&entry.source);
        }
        true
    }

    /// Takes the place of the one of these that has been idle for longest. Says whether there was one.
    fn evict(&mut self, of: impl Fn(&Entry) -> bool) -> bool {
        loop {
            let idle = self.entries.values().filter(|entry| of(entry) && entry.work.load(Ordering::Relaxed) == 0);
            let idlest = idle.min_by_key(|entry| (entry.idle_since.load(Ordering::Relaxed), entry.id));
            let Some(entry) = idlest.map(Arc::clone) else { return false };
            // It may have begun to work since the look.
            if entry.work.compare_exchange(0, EVICTED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.remove(&entry);
                entry.evicted.cancel();
                return true;
            }
        }
    }
}

impl Entry {
    fn is_starting(&self) -> bool {
        self.established.load(Ordering::Relaxed) == 0
    }
}

/// A connection's place, until this is dropped or taken away. A new one is idle.
#[derive(Debug)]
pub struct Place {
    entry: Arc<Entry>,
    places: Arc<Places>,
}

impl Place {
    /// The client has shown that it means it: its handshake is over.
    pub fn establish(&self) {
        let mut taken = self.places.lock();
        // The lock orders this with a removal, which looks at the same mark.
        if self.entry.established.swap(1, Ordering::Relaxed) == 1 || !taken.entries.contains_key(&self.entry.id) {
            return;
        }
        taken.all.starting -= 1;
        if let Some(mine) = taken.sources.get_mut(&self.entry.source) {
            mine.starting -= 1;
        }
    }

    /// Something is done for the client until the guard is dropped: the place is not taken away meanwhile.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.entry.work.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Returns once the place was taken away: the connection has to end.
    pub async fn evicted(&self) {
        self.entry.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.places.lock().remove(&self.entry) {
            self.places.freed.notify_one();
        }
    }
}

/// Work for a client. Holds its place, so that what outlives a connection, such as a tunnel, still counts.
#[derive(Debug)]
pub struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let entry = &self.0.entry;
        // Before the count, so that nobody sees an idle connection with an old stamp.
        entry.idle_since.store(self.0.places.now(), Ordering::Relaxed);
        entry.work.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total: usize, per_address: usize, starting: usize, starting_per_address: usize) -> Arc<Places> {
        Places::new(Bounds { total, per_address, starting, starting_per_address })
    }

    fn admit(places: &Arc<Places>, address: &str) -> Result<Arc<Place>, &'static str> {
        match places.admit(address.parse().unwrap()) {
            Admission::Admitted(place) => Ok(Arc::new(place)),
            Admission::Refused => Err("refused"),
            Admission::Full => Err("full"),
        }
    }

    fn is_evicted(place: &Place) -> bool {
        place.entry.evicted.is_cancelled()
    }

    #[test]
    fn an_address_beyond_its_share_loses_its_own_idlest() {
        let places = places(10, 2, 10, 10);
        let bobs = [admit(&places, "192.0.2.1").unwrap(), admit(&places, "192.0.2.1").unwrap()];
        let alices = admit(&places, "192.0.2.2").unwrap();
        drop(bobs[0].busy());
        let first_works = bobs[0].busy();
        let third = admit(&places, "::ffff:192.0.2.1").unwrap();
        assert_eq!([&bobs[0], &bobs[1], &third, &alices].map(|p| is_evicted(p)), [false, true, false, false]);
        let third_works = third.busy();
        assert_eq!(admit(&places, "192.0.2.1").unwrap_err(), "refused");
        drop(first_works);
        assert!(admit(&places, "192.0.2.1").is_ok() && is_evicted(&bobs[0]));
        drop(third_works);
    }

    #[test]
    fn when_all_is_full_the_idlest_of_all_goes_and_nobody_who_works() {
        let places = places(2, 2, 2, 2);
        let (old, new) = (admit(&places, "192.0.2.1").unwrap(), admit(&places, "192.0.2.2").unwrap());
        let third = admit(&places, "192.0.2.3").unwrap();
        assert!(is_evicted(&old) && !is_evicted(&new));
        let work = [new.busy(), third.busy()];
        assert_eq!(admit(&places, "192.0.2.4").unwrap_err(), "full");
        drop((new, third));
        assert_eq!(admit(&places, "192.0.2.4").unwrap_err(), "full", "work holds its place");
        drop(work);
        assert!(admit(&places, "192.0.2.4").is_ok());
        drop(old);
        let taken = places.lock();
        assert_eq!((taken.all.open, taken.entries.len(), taken.sources.len()), (0, 0, 0));
    }

    #[test]
    fn handshakes_have_bounds_of_their_own() {
        let places = places(10, 10, 3, 2);
        let done = admit(&places, "192.0.2.1").unwrap();
        done.establish();
        done.establish();
        let first = admit(&places, "192.0.2.1").unwrap();
        let second = admit(&places, "192.0.2.1").unwrap();
        let third = admit(&places, "192.0.2.1").unwrap();
        assert_eq!([&done, &first, &second, &third].map(|p| is_evicted(p)), [false, true, false, false]);
        first.establish();
        let others = [admit(&places, "192.0.2.2").unwrap(), admit(&places, "192.0.2.3").unwrap()];
        assert!(is_evicted(&second) && !others.iter().any(|p| is_evicted(p)));
        drop((done, first, second, third, others));
        assert_eq!(places.lock().all.starting, 0);
    }

    #[test]
    fn a_slash_64_is_one_address() {
        let check = |address: &str, expect: &str| {
            assert_eq!(source(address.parse().unwrap()), expect.parse::<IpAddr>().unwrap(), "{address}");
        };
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("192.0.2.7", "192.0.2.7");
    }
}
