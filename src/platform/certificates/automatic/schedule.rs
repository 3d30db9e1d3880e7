//! When to ask: for the next certificate well before the end of this one, after a failure less and less often. Pure, but for
//! the jitter that keeps many names from asking at the same moment.

use std::time::Duration;

use crate::model::Timestamp;

/// The wait after the first failure. An authority that counts failed tries allows few of them an hour (Let's Encrypt: 5).
const FIRST_WAIT: Duration = Duration::from_secs(15 * 60);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// When to ask for the successor: when two thirds of the validity are over, as authorities advise; somewhat earlier by chance.
pub(super) fn renewal(begins_at: Timestamp, expires_at: Timestamp) -> Timestamp {
    let validity = expires_at.millis().saturating_sub(begins_at.millis()).max(0);
    let jitter = validity / 30;
    let earlier = if jitter > 0 { rand::random_range(0..jitter) } else { 0 };
    Timestamp::from_millis(begins_at.millis() + validity / 3 * 2 - earlier)
}

/// How long to leave a name alone after so many failures in a row: 15 min, 30 min, 1 h ... 24 h, with a tenth more by chance;
/// never less than the authority asked for.
pub(super) fn after_failure(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT);
    doubled.mul_f64(1.0 + rand::random_range(0.0..0.1)).max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_its_last_third() {
        let day = 24 * 3600 * 1000;
        let at = renewal(Timestamp::from_millis(0), Timestamp::from_millis(90 * day)).millis();
        assert!((57 * day..=60 * day).contains(&at), "{at}");
        let never_valid = renewal(Timestamp::from_millis(5), Timestamp::from_millis(5));
        assert_eq!(never_valid.millis(), 5);
    }

    #[test]
    fn failures_wait_longer_each_time_and_at_least_as_long_as_was_asked() {
        let minutes = |failures, asked| after_failure(failures, asked).as_secs() / 60;
        assert!((15..=16).contains(&minutes(1, None)));
        assert!((30..=33).contains(&minutes(2, None)));
        assert!((24 * 60..=27 * 60).contains(&minutes(40, None)));
        assert_eq!(minutes(1, Some(Duration::from_secs(7200))), 120);
    }
}
