//! Slows down the guessing of passwords and the making of accounts, per account and per address: with a wait that doubles, and a
//! line for what has to be hashed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hash_queue::{HashQueue, Turn};

/// Wrong passwords that cost an account no wait, and what the wait grows to from then on.
const ACCOUNT: Rule = Rule { free: 5, longest: Duration::from_secs(5 * 60) };
/// The same for an address, from which several people may mistype.
const ADDRESS: Rule = Rule { free: 20, longest: Duration::from_secs(15 * 60) };
/// Accounts that an address may register without a wait, and what the wait grows to from then on.
const REGISTRATIONS: Rule = Rule { free: 30, longest: Duration::from_secs(15 * 60) };
/// The first wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Failures are forgotten when there was none for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Attempts that may be under way at once before any of them has failed.
const AT_ONCE: u32 = 16;
/// Most accounts and addresses that are remembered. Beyond it, the ones that failed longest ago are let off.
const REMEMBERED: usize = 10_000;

struct Rule {
    free: u32,
    longest: Duration,
}

impl Rule {
    /// The wait after so many failures: none at first, then 1 s, 2 s, 4 s ... at most [`Rule::longest`].
    fn wait(&self, failures: u32) -> Duration {
        match failures.saturating_sub(self.free) {
            0 => Duration::ZERO,
            beyond => FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond - 1)).min(self.longest),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A name, whether or not there is such an account: the answer must not tell.
    Account(String),
    /// An IPv4 address, or the network of an IPv6 one: a host has 2^64 of those to choose from.
    Address(IpAddr),
    /// An account from an address that it signed in from before: strangers elsewhere do not lock it out.
    Known(String, IpAddr),
    /// An address that registers accounts.
    Registering(IpAddr),
}

impl Key {
    fn rule(&self) -> &'static Rule {
        match self {
            Self::Account(_) | Self::Known(..) => &ACCOUNT,
            Self::Address(_) => &ADDRESS,
            Self::Registering(_) => &REGISTRATIONS,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    pending: u32,
    latest: Instant,
}

/// What is remembered of failed attempts, and from where accounts signed in. Cheap to clone; lost with the process.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    memory: Arc<Mutex<Memory>>,
    hashing: HashQueue,
}

#[derive(Debug, Default)]
struct Memory {
    records: HashMap<Key, Record>,
    /// Accounts and where they signed in, with when that was last.
    known: HashMap<(String, IpAddr), Instant>,
}

/// An attempt under way. Dropped without an outcome it counts for nothing.
#[derive(Debug)]
pub(super) struct Attempt {
    throttle: Throttle,
    /// From where, as the line tells addresses apart.
    network: Option<IpAddr>,
    keys: Vec<Key>,
}

impl Throttle {
    /// Begins an attempt, before the password is looked at.
    ///
    /// # Errors
    /// How long to wait until the next one is let through.
    pub(super) fn begin(&self, account: &str, address: Option<IpAddr>) -> Result<Attempt, Duration> {
        self.begin_at(account, address, Instant::now())
    }

    fn begin_at(&self, account: &str, address: Option<IpAddr>, now: Instant) -> Result<Attempt, Duration> {
        let network = address.map(network);
        let known =
            network.map(|network| (account.to_owned(), network)).filter(|pair| self.lock().known.contains_key(pair));
        let account = known.map_or(Key::Account(account.to_owned()), |(account, network)| Key::Known(account, network));
        let keys = [account].into_iter().chain(network.map(Key::Address)).collect();
        self.begin_with(network, keys, now)
    }

    /// Begins the registration of an account.
    ///
    /// # Errors
    /// How long to wait until the next one is let through.
    pub(super) fn begin_registration(&self, address: Option<IpAddr>) -> Result<Attempt, Duration> {
        let network = address.map(network);
        self.begin_with(network, network.map(Key::Registering).into_iter().collect(), Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits in line to hash a password for somebody at `address`, beside any attempt.
    ///
    /// # Errors
    /// How long to wait before asking again, when too many wait already.
    pub(super) async fn turn(&self, address: Option<IpAddr>) -> Result<Turn, Duration> {
        self.hashing.turn(address.map(network)).await.map_err(|_| FIRST_WAIT)
    }

    fn begin_with(&self, network: Option<IpAddr>, keys: Vec<Key>, now: Instant) -> Result<Attempt, Duration> {
        let records = &mut self.lock().records;
        for key in &keys {
            if let Some(record) = records.get(key) {
                record.admit(key.rule(), now)?;
            }
        }
        for key in &keys {
            make_room(records, now);
            let fresh = Record { failures: 0, pending: 0, latest: now };
            let record = records.entry(key.clone()).or_insert(fresh);
            if record.is_forgotten(now) {
                *record = Record { pending: record.pending, ..fresh };
            }
            record.pending += 1;
        }
        Ok(Attempt { throttle: self.clone(), network, keys })
    }
}

impl Record {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.latest) >= FORGOTTEN_AFTER
    }

    /// Once failures cost a wait, attempts go one at a time: others could otherwise be made before the first has failed.
    fn admit(&self, rule: &Rule, now: Instant) -> Result<(), Duration> {
        if self.is_forgotten(now) {
            return Ok(());
        }
        let wait = rule.wait(self.failures);
        let left = (self.latest + wait).saturating_duration_since(now);
        let most = if self.failures < rule.free { AT_ONCE } else { 1 };
        match left {
            Duration::ZERO if self.pending < most => Ok(()),
            Duration::ZERO => Err(FIRST_WAIT),
            left => Err(left),
        }
    }
}

impl Attempt {
    /// Waits in line to hash the attempt's password.
    ///
    /// # Errors
    /// As [`Throttle::turn`].
    pub(super) async fn turn(&self) -> Result<Turn, Duration> {
        self.throttle.turn(self.network).await
    }

    /// The password was wrong, or the attempt was one to register: it counts.
    pub(super) fn failed(self) {
        self.settle(Instant::now(), |_, record| record.failures = record.failures.saturating_add(1));
    }

    /// The password was right: the account starts anew. The address does not; it may hold one account of its own and be
    /// after others.
    pub(super) fn succeeded(self) {
        let now = Instant::now();
        self.settle(now, |key, record| {
            if matches!(key, Key::Account(_) | Key::Known(..)) {
                record.failures = 0;
            }
        });
        if let [Key::Account(account), Key::Address(address)] = &self.keys[..] {
            let known = &mut self.throttle.lock().known;
            if known.len() >= REMEMBERED
                && let Some(oldest) = known.iter().min_by_key(|(_, since)| **since).map(|(pair, _)| pair.clone())
            {
                known.remove(&oldest);
            }
            known.insert((account.clone(), *address), now);
        }
    }

    fn settle(&self, now: Instant, change: impl Fn(&Key, &mut Record)) {
        let records = &mut self.throttle.lock().records;
        for key in &self.keys {
            if let Some(record) = records.get_mut(key) {
                let before = record.failures;
                change(key, record);
                if record.failures > before {
                    record.latest = now;
                }
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let records = &mut self.throttle.lock().records;
        for key in &self.keys {
            let Some(record) = records.get_mut(key) else { continue };
            record.pending = record.pending.saturating_sub(1);
            if record.pending == 0 && record.failures == 0 {
                records.remove(key);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

fn make_room(records: &mut HashMap<Key, Record>, now: Instant) {
    if records.len() < REMEMBERED {
        return;
    }
    records.retain(|_, record| record.pending > 0 || !record.is_forgotten(now));
    while records.len() >= REMEMBERED {
        let idle = records.iter().filter(|(_, record)| record.pending == 0);
        let Some(oldest) = idle.min_by_key(|(_, record)| record.latest).map(|(key, _)| key.clone()) else { return };
        records.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    /// A failure at `now`.
    fn fail(throttle: &Throttle, account: &str, address: Option<IpAddr>, now: Instant) {
        let attempt = throttle.begin_at(account, address, now).expect("let through");
        attempt.settle(now, |_, record| record.failures += 1);
    }

    #[test]
    fn an_accounts_wait_doubles_up_to_its_longest_and_is_forgotten() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..5 {
            fail(&throttle, "bob", None, now);
        }
        for expect in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            fail(&throttle, "bob", None, now);
            let wait = throttle.begin_at("bob", None, now).unwrap_err();
            assert_eq!(wait, Duration::from_secs(expect));
            assert!(throttle.begin_at("eve", None, now).is_ok(), "others go on");
            now += wait;
        }
        assert!(throttle.begin_at("bob", None, now + FORGOTTEN_AFTER).is_ok());
        fail(&throttle, "bob", None, now + FORGOTTEN_AFTER);
        fail(&throttle, "bob", None, now + FORGOTTEN_AFTER);
    }

    #[test]
    fn an_address_is_slowed_down_whatever_names_it_tries() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..21 {
            fail(&throttle, &format!("user{n}"), HOME, now);
        }
        assert_eq!(throttle.begin_at("fresh", HOME, now).unwrap_err(), Duration::from_secs(1));
        assert!(throttle.begin_at("fresh", Some("192.0.2.2".parse().unwrap()), now).is_ok());
        let v6 = |text: &str| network(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), v6("192.0.2.1"));
    }

    #[test]
    fn a_right_password_clears_the_account_and_not_the_address() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..5 {
            fail(&throttle, "bob", HOME, now);
        }
        throttle.begin_at("bob", HOME, now).unwrap().succeeded();
        for _ in 0..5 {
            fail(&throttle, "bob", HOME, now);
        }
        for n in 0..11 {
            assert!(throttle.begin_at("zoe", HOME, now).is_ok(), "{n} failures of the address are still free");
            fail(&throttle, &format!("eve{n}"), HOME, now);
        }
        assert!(throttle.begin_at("zoe", HOME, now).is_err());
    }

    #[test]
    fn an_address_that_signed_in_before_is_not_locked_out_by_others() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let stranger: Option<IpAddr> = Some("198.51.100.7".parse().unwrap());
        throttle.begin_at("alice", HOME, now).unwrap().succeeded();
        for _ in 0..6 {
            fail(&throttle, "alice", stranger, now);
        }
        assert!(throttle.begin_at("alice", stranger, now).is_err());
        assert!(throttle.begin_at("alice", Some("192.0.2.9".parse().unwrap()), now).is_err(), "not known");
        assert!(throttle.begin_at("alice", HOME, now).is_ok());
        for _ in 0..6 {
            fail(&throttle, "alice", HOME, now);
        }
        assert!(throttle.begin_at("alice", HOME, now).is_err(), "it may not guess without end either");
    }

    #[test]
    fn registering_costs_a_wait_beyond_a_bound_for_each_address() {
        let throttle = Throttle::default();
        for _ in 0..=REGISTRATIONS.free {
            throttle.begin_registration(HOME).unwrap().failed();
        }
        assert!(throttle.begin_registration(HOME).is_err());
        assert!(throttle.begin_registration(Some("192.0.2.2".parse().unwrap())).is_ok());
        assert!(throttle.begin_at("alice", HOME, Instant::now()).is_ok(), "signing in is another matter");
    }

    #[test]
    fn attempts_at_once_are_bounded_and_one_at_a_time_after_failures() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let many: Vec<_> = (0..AT_ONCE).map(|_| throttle.begin_at("bob", None, now).unwrap()).collect();
        assert!(throttle.begin_at("bob", None, now).is_err());
        drop(many);
        for _ in 0..6 {
            fail(&throttle, "bob", None, now);
        }
        let later = now + Duration::from_secs(1);
        let one = throttle.begin_at("bob", None, later).unwrap();
        assert!(throttle.begin_at("bob", None, later).is_err());
        drop(one);
        assert!(throttle.begin_at("bob", None, later).is_ok(), "an attempt without an outcome counts for nothing");
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..REMEMBERED + 100 {
            fail(&throttle, &format!("user{n}"), None, now + Duration::from_millis(u64::try_from(n).unwrap()));
        }
        let records = &throttle.lock().records;
        assert_eq!(records.len(), REMEMBERED);
        assert!(!records.contains_key(&Key::Account("user0".to_owned())));
    }
}
