//! How much an app may log: a bound on what one app's chatter costs the others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{LogLine, LogSource};

/// Lines are counted per this many nanoseconds of their own stamps: a burst of twice the rate passes.
const WINDOW: i64 = 2_000_000_000;
/// The rate of [`WINDOW`] is that many times the rate of a second.
const WINDOW_SECONDS: u64 = 2;
/// A line counts as one for every so many bytes, begun ones too: 10,000 lines per second are 4 MiB per second at most.
const LINE_BYTES: usize = 420;
/// Windows that are remembered. What comes from several instances arrives in turns, and after a stop of the server an
/// hour of one before the same hour of the other; forgetting a window lets lines pass, it never holds one back.
const MAX_WINDOWS: usize = 16;
/// How long after the last dropped line the count of them is due although the app says no more.
const QUIET: Duration = Duration::from_secs(1);

/// Counts what an app logs and says which lines are too many.
///
/// It goes by the stamps of the lines and not by the clock: what an app said while nobody collected is no more than it was
/// when it was said, however fast it comes in afterwards.
pub(super) struct Limiter {
    /// Lines per second; `None` admits all.
    rate: Option<u64>,
    /// Window -> what it has admitted so far.
    windows: BTreeMap<i64, u64>,
    /// Lines that were dropped and not told of yet.
    dropped: u64,
    /// Stamp of the last of them, and when it came.
    last: Option<(i64, Instant)>,
}

impl Limiter {
    /// For `rate` lines per second; 0 sets no limit.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: (rate > 0).then_some(rate), windows: BTreeMap::new(), dropped: 0, last: None }
    }

    /// Whether the line may be stored; counts it either way. What the platform says of the app always may, except for
    /// the router, which says something of every request.
    pub(super) fn admits(&mut self, line: &LogLine) -> bool {
        let Some(rate) = self.rate else { return true };
        if matches!(line.source, LogSource::Slipway(_)) {
            return true;
        }
        let cost = line.text.len().div_ceil(LINE_BYTES).max(1) as u64;
        let used = self.windows.entry(line.nanos.div_euclid(WINDOW)).or_default();
        // A line that costs more than all there is passes where nothing else did.
        let is_admitted = *used == 0 || *used + cost <= rate.saturating_mul(WINDOW_SECONDS);
        if is_admitted {
            *used += cost;
        } else {
            self.dropped += 1;
            self.last = Some((line.nanos, Instant::now()));
        }
        if self.windows.len() > MAX_WINDOWS {
            self.windows.pop_first();
        }
        is_admitted
    }

    /// The line that tells of what was dropped since the last such line; none if nothing was.
    pub(super) fn report(&mut self) -> Option<LogLine> {
        let (rate, (nanos, _)) = (self.rate?, self.last.take()?);
        let dropped = std::mem::take(&mut self.dropped);
        let lines = if dropped == 1 { "line" } else { "lines" };
        let text = format!("{dropped} {lines} dropped: the app logs faster than {rate} lines per second");
        Some(LogLine { nanos, source: LogSource::Slipway("logs".to_owned()), text })
    }

    /// How long until the report is due although no line follows; `None` when there is nothing to report.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        self.last.map(|(_, at)| QUIET.saturating_sub(now.saturating_duration_since(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceId;

    const SECOND: i64 = 1_000_000_000;

    fn said(nanos: i64, text: &str) -> LogLine {
        LogLine { nanos, source: web(), text: text.to_owned() }
    }

    fn web() -> LogSource {
        LogSource::App { process: "web".parse().unwrap(), number: 1, instance: InstanceId::new() }
    }

    /// How many of `lines` lines of that text pass, all said at `nanos`.
    fn passed(limiter: &mut Limiter, nanos: i64, lines: usize, text: &str) -> usize {
        (0..lines).filter(|n| limiter.admits(&said(nanos + *n as i64, text))).count()
    }

    #[test]
    fn a_burst_of_two_seconds_passes_and_the_rest_is_counted() {
        let mut limiter = Limiter::new(100);
        assert_eq!(passed(&mut limiter, 10 * SECOND, 1000, "x"), 200);
        assert!(limiter.admits(&said(12 * SECOND, "x")), "two seconds later");
        let report = limiter.report().unwrap();
        assert_eq!(report.text, "800 lines dropped: the app logs faster than 100 lines per second");
        assert_eq!((report.nanos, report.source.to_string().as_str()), (10 * SECOND + 999, "slipway[logs]"));
        assert_eq!(limiter.report(), None, "said once");
    }

    #[test]
    fn steady_output_below_the_rate_passes_for_ever() {
        let mut limiter = Limiter::new(100);
        for second in 0..1000 {
            assert_eq!(passed(&mut limiter, second * SECOND, 100, "x"), 100, "second {second}");
        }
        assert_eq!(limiter.report(), None);
        assert!(limiter.windows.len() <= MAX_WINDOWS);
    }

    #[test]
    fn bytes_count_too() {
        let mut limiter = Limiter::new(10_000);
        let line = "x".repeat(64 << 10);
        let bytes = passed(&mut limiter, 0, 1000, &line) * line.len();
        assert!((8 << 20) - (200 << 10) < bytes && bytes <= 8_500_000, "{bytes} in two seconds");
        let mut slow = Limiter::new(1);
        assert_eq!(passed(&mut slow, 0, 5, &line), 1, "a long line is not held back for ever");
        assert_eq!(passed(&mut slow, 2 * SECOND, 5, &line), 1);
    }

    #[test]
    fn what_was_said_while_nobody_collected_is_not_held_against_the_app() {
        let mut limiter = Limiter::new(100);
        for _instance in 0..2 {
            for second in 0..20 {
                assert_eq!(passed(&mut limiter, second * SECOND, 40, "x"), 40, "second {second}");
            }
        }
    }

    #[test]
    fn the_platform_is_heard_and_the_router_is_bounded() {
        let mut limiter = Limiter::new(1);
        let of = |source| LogLine { nanos: 0, source, text: String::new() };
        assert_eq!((0..5).filter(|_| limiter.admits(&of(LogSource::Router))).count(), 2);
        assert!((0..5).all(|_| limiter.admits(&of(LogSource::Slipway("deploy".to_owned())))));
        assert!((0..5).all(|_| Limiter::new(0).admits(&of(web()))));
    }

    #[test]
    fn the_report_is_due_a_second_after_the_last_dropped_line() {
        let (mut limiter, now) = (Limiter::new(1), Instant::now());
        passed(&mut limiter, 0, 2, "x");
        assert_eq!(limiter.due_in(now), None);
        passed(&mut limiter, 0, 1, "x");
        assert_eq!(limiter.due_in(now), Some(QUIET));
        assert!(limiter.due_in(now + QUIET / 2).is_some_and(|wait| wait >= QUIET / 2), "it came after that");
        assert_eq!(limiter.due_in(Instant::now() + QUIET), Some(Duration::ZERO));
        assert_eq!(limiter.report().unwrap().text, "1 line dropped: the app logs faster than 1 lines per second");
        assert_eq!(limiter.due_in(now), None);
    }
}
