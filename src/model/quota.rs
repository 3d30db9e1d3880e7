//! Quotas: how much of each thing one account may have.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::build::words;

/// What is limited, each per account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    /// Apps that the account owns.
    Apps,
    /// Wanted instances of all its apps.
    Instances,
    /// Memory that those may use together, in bytes.
    Memory,
    /// Bytes of one version of one app's config.
    Config,
    /// Registered SSH keys.
    Keys,
    /// Domains of all its apps.
    Domains,
    /// Uploaded certificates.
    Certificates,
    /// Collaborators of all its apps.
    Collaborators,
    /// Bytes of the repositories of all its apps.
    Repositories,
    /// Builds of its apps that go on at once.
    Builds,
    /// Builds of its apps that wait for their turn.
    WaitingBuilds,
    /// Git processes that the account's connections run at once.
    Git,
    /// Published ports of the host.
    Ports,
    /// Bytes that containers and builds of its apps have written, volumes included.
    Disk,
    /// Latest releases of one app that are kept, each with its config. Older ones go; nothing is refused for it.
    Releases,
    /// Runs of scheduled commands of its apps that go on at once; the others wait for their turn.
    CronRuns,
}

impl QuotaKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::Apps,
        Self::Instances,
        Self::Memory,
        Self::Config,
        Self::Keys,
        Self::Domains,
        Self::Certificates,
        Self::Collaborators,
        Self::Repositories,
        Self::Builds,
        Self::WaitingBuilds,
        Self::Git,
        Self::Ports,
        Self::Disk,
        Self::Releases,
        Self::CronRuns,
    ];

    /// As the end of "50 of 50 ...".
    fn noun(self) -> &'static str {
        match self {
            Self::Instances => "instances of all apps",
            Self::Memory => "memory of all instances",
            Self::Config => "config of one app",
            Self::Keys => "SSH keys",
            Self::Collaborators => "collaborators of all apps",
            Self::Repositories => "repositories of all apps",
            Self::Builds => "builds at once",
            Self::WaitingBuilds => "waiting builds",
            Self::Git => "git processes at once",
            Self::Ports => "published ports",
            Self::Disk => "disk for containers and builds",
            Self::Releases => "releases of one app",
            Self::CronRuns => "scheduled commands at once",
            Self::Apps | Self::Domains | Self::Certificates => self.as_str(),
        }
    }

    /// Whether its values are bytes and not a count.
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::Memory | Self::Config | Self::Repositories | Self::Disk)
    }

    /// A value of it for people.
    pub fn shown(self, value: u64) -> String {
        if self.is_bytes() { shown_bytes(value) } else { value.to_string() }
    }
}

words!(
    QuotaKind,
    "quota",
    Apps = "apps",
    Instances = "instances",
    Memory = "memory",
    Config = "config",
    Keys = "keys",
    Domains = "domains",
    Certificates = "certificates",
    Collaborators = "collaborators",
    Repositories = "repositories",
    Builds = "builds",
    WaitingBuilds = "waiting-builds",
    Git = "git",
    Ports = "ports",
    Disk = "disk",
    Releases = "releases",
    CronRuns = "cron-runs",
);

/// A limit for some kinds or for all.
pub type QuotaLimits = BTreeMap<QuotaKind, Quota>;

/// How much of something an account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    /// So much, more than none.
    AtMost(u64),
    /// As much as there is.
    Unlimited,
}

impl Quota {
    /// From a stored number, where 0 is no limit.
    pub fn from_number(value: u64) -> Self {
        if value == 0 { Self::Unlimited } else { Self::AtMost(value) }
    }

    /// The number that [`Quota::from_number`] takes.
    pub fn number(self) -> u64 {
        match self {
            Self::AtMost(value) => value,
            Self::Unlimited => 0,
        }
    }

    /// Reads `50`, `32GiB` (for bytes), `0` or `unlimited`.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the text.
    pub fn parse(kind: QuotaKind, text: &str) -> Result<Self, &'static str> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        if kind.is_bytes() {
            return parse_bytes(text).map(Self::from_number).ok_or("is not a size such as 512MiB, 0 or unlimited");
        }
        let number = text.parse::<u64>().ok().filter(|value| i64::try_from(*value).is_ok());
        number.map(Self::from_number).ok_or("is not a whole number, 0 or unlimited")
    }
}

/// The operator's limits: one of every kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas(QuotaLimits);

impl Quotas {
    /// What holds for kinds that the operator does not name.
    pub const DEFAULT: &'static str = "apps=50 instances=200 memory=64GiB config=1MiB keys=50 domains=100 \
        certificates=100 collaborators=200 repositories=10GiB builds=2 waiting-builds=20 git=16 ports=100 disk=20GiB \
        releases=200 cron-runs=10";

    /// The limit of a kind.
    pub fn get(&self, kind: QuotaKind) -> Quota {
        self.0.get(&kind).copied().unwrap_or(Quota::Unlimited)
    }

    /// No limit of any kind.
    pub fn unlimited() -> Self {
        Self(QuotaKind::ALL.map(|kind| (kind, Quota::Unlimited)).into())
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self(parse_list(Self::DEFAULT).expect("the defaults are quotas"))
    }
}

impl FromStr for Quotas {
    type Err = String;

    /// Reads `apps=50 memory=32GiB`; kinds that are not named have their default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::default();
        all.0.extend(parse_list(text)?);
        Ok(all)
    }
}

fn parse_list(text: &str) -> Result<QuotaLimits, String> {
    let mut limits = QuotaLimits::new();
    for part in text.split_whitespace() {
        let form = || {
            let kinds = QuotaKind::ALL.map(QuotaKind::as_str).join(", ");
            format!("has '{part}' in it, which is not KIND=VALUE with a kind of {kinds}")
        };
        let (kind, value) = part.split_once('=').ok_or_else(form)?;
        let kind: QuotaKind = kind.parse().map_err(|_| form())?;
        let limit = Quota::parse(kind, value).map_err(|problem| format!("has '{part}' in it: {value} {problem}"))?;
        if limits.insert(kind, limit).is_some() {
            return Err(format!("names {kind} twice"));
        }
    }
    Ok(limits)
}

/// More of something than an account may have. `Display` is what the person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// Whose quota it is; not always who asks.
    pub account: String,
    /// Of what.
    pub kind: QuotaKind,
    /// How much the account may have.
    pub limit: u64,
    /// How much it has.
    pub used: u64,
    /// How much was asked for beside that.
    pub more: u64,
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, kind, limit, used, more } = self;
        write!(f, "{account} has {} of {} {}", kind.shown(*used), kind.shown(*limit), kind.noun())?;
        if *more > 1 {
            write!(f, " and this needs {} more", kind.shown(*more))?;
        }
        write!(f, ": ask an administrator to raise it (PATCH /v1/admin/quotas/{account} with {kind})")
    }
}

impl std::error::Error for QuotaExceeded {}

impl QuotaExceeded {
    /// Refuses `more` of something beside what is used, if that goes beyond the limit.
    ///
    /// # Errors
    /// The excess.
    pub fn check(account: &str, kind: QuotaKind, quota: Quota, used: u64, more: u64) -> Result<(), Self> {
        match quota {
            Quota::AtMost(limit) if more > 0 && used.saturating_add(more) > limit => {
                Err(Self { account: account.to_owned(), kind, limit, used, more })
            }
            _ => Ok(()),
        }
    }
}

/// Reads a number of bytes, with K, M, G or T as the unit if any (also KiB, MB, ...), always powers of 1024.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

fn shown_bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = units.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} bytes");
    };
    let tenths = u128::from(bytes) * 10 / (1 << shift);
    if tenths.is_multiple_of(10) {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_default_and_a_word_of_its_own() {
        let all = Quotas::default();
        for kind in QuotaKind::ALL {
            assert!(matches!(all.get(kind), Quota::AtMost(_)), "{kind}");
            assert_eq!(kind.as_str().parse::<QuotaKind>().ok(), Some(kind));
        }
    }

    #[test]
    fn an_operator_names_what_differs() {
        let quotas: Quotas = "apps=3 memory=2GiB git=unlimited ports=0".parse().unwrap();
        let get = |kind| quotas.get(kind);
        assert_eq!((get(QuotaKind::Apps), get(QuotaKind::Memory)), (Quota::AtMost(3), Quota::AtMost(2 << 30)));
        assert_eq!((get(QuotaKind::Git), get(QuotaKind::Ports)), (Quota::Unlimited, Quota::Unlimited));
        assert_eq!(get(QuotaKind::Keys), Quotas::default().get(QuotaKind::Keys));
        for bad in ["apps", "apps=x", "apps=1G", "apps=-1", "memory=1X", "cats=1", "apps=1 apps=2", "?!"] {
            assert!(bad.parse::<Quotas>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_error_names_limit_use_and_whom_to_ask() {
        let refused = |kind, limit, used, more| {
            QuotaExceeded::check("bob", kind, Quota::AtMost(limit), used, more).unwrap_err().to_string()
        };
        assert_eq!(
            refused(QuotaKind::Apps, 50, 50, 1),
            "bob has 50 of 50 apps: ask an administrator to raise it (PATCH /v1/admin/quotas/bob with apps)"
        );
        let memory = refused(QuotaKind::Memory, 32 << 30, 31 << 30, 1536 << 20);
        assert!(memory.starts_with("bob has 31 GiB of 32 GiB memory of all instances and this needs 1.5 GiB more:"));
        assert!(QuotaExceeded::check("bob", QuotaKind::Apps, Quota::AtMost(1), 5, 0).is_ok());
        assert!(QuotaExceeded::check("bob", QuotaKind::Apps, Quota::Unlimited, u64::MAX, 5).is_ok());
    }
}
