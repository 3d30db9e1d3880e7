//! Schedules: what they say, and what they do when clocks are changed.

use super::*;

fn moment(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The first moments after `after`, as UTC.
fn next(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone): (CronSchedule, Zone) = (schedule.parse().unwrap(), zone.parse().unwrap());
    let all = std::iter::successors(schedule.next(&zone, moment(after)), |found| schedule.next(&zone, *found));
    all.take(count).map(|found| found.to_string().replace(":00.000Z", "Z")).collect()
}

fn check(schedule: &str, zone: &str, after: &str, expect: &[&str]) {
    assert_eq!(next(schedule, zone, after, expect.len()), expect, "{schedule} in {zone} after {after}");
}

#[test]
fn fields_nicknames_and_names_say_when() {
    let at = "2026-12-01T04:30:00Z";
    check("* * * * *", "UTC", at, &["2026-12-01T04:31Z", "2026-12-01T04:32Z"]);
    check("* * * * *", "UTC", "2026-12-01T04:29:59.999Z", &["2026-12-01T04:30Z"]);
    check("*/20 * * * *", "UTC", at, &["2026-12-01T04:40Z", "2026-12-01T05:00Z"]);
    check("5/20 4 * * *", "UTC", at, &["2026-12-01T04:45Z", "2026-12-02T04:05Z"]);
    check(
        "0 9-17/4,23 * * *",
        "UTC",
        at,
        &["2026-12-01T09:00Z", "2026-12-01T13:00Z", "2026-12-01T17:00Z", "2026-12-01T23:00Z"],
    );
    check("0 0 29 2 *", "UTC", at, &["2028-02-29T00:00Z", "2032-02-29T00:00Z"]);
    check("0 0 29 FEB */7", "UTC", at, &["2032-02-29T00:00Z"]);
    check("0 12 * * mon-Fri", "UTC", "2026-12-04T12:00:00Z", &["2026-12-07T12:00Z"]);
    check("0 0 * * 7", "UTC", at, &["2026-12-06T00:00Z"]);
    check("0 0 * * 5-7", "UTC", at, &["2026-12-04T00:00Z", "2026-12-05T00:00Z", "2026-12-06T00:00Z"]);
    check("0 0 ? * ?", "UTC", at, &["2026-12-02T00:00Z"]);
    check("@hourly", "UTC", at, &["2026-12-01T05:00Z"]);
    check("@daily", "UTC", at, &["2026-12-02T00:00Z"]);
    check("@midnight", "UTC", at, &["2026-12-02T00:00Z"]);
    check("@Weekly", "UTC", at, &["2026-12-06T00:00Z"]);
    check("@monthly", "UTC", at, &["2027-01-01T00:00Z"]);
    check("@yearly", "UTC", at, &["2027-01-01T00:00Z"]);
    check("@annually", "UTC", at, &["2027-01-01T00:00Z"]);
}

#[test]
fn of_two_restricted_days_either_suffices() {
    let at = "2026-12-01T04:30:00Z";
    check("0 0 13 * 5", "UTC", at, &["2026-12-04T00:00Z", "2026-12-11T00:00Z", "2026-12-13T00:00Z"]);
    check("0 0 13 * *", "UTC", at, &["2026-12-13T00:00Z", "2027-01-13T00:00Z"]);
    // A field that begins with a star restricts nothing by itself, so both have to match (cron(8)).
    check("0 0 */2 * 1", "UTC", at, &["2026-12-07T00:00Z", "2026-12-21T00:00Z"]);
}

#[test]
fn local_time_decides() {
    check("0 9 * * *", "Asia/Kolkata", "2026-12-01T00:00:00Z", &["2026-12-01T03:30Z", "2026-12-02T03:30Z"]);
    check("0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", &["2026-03-28T08:00Z", "2026-03-29T07:00Z"]);
    check("0 9 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", &["2026-10-24T07:00Z", "2026-10-25T08:00Z"]);
    check("0 0 1 * *", "Pacific/Auckland", "2026-06-29T00:00:00Z", &["2026-06-30T12:00Z"]);
    // A zone whose clocks are far in the future of UTC, and one whose offset is not of whole hours.
    check("45 0 * * *", "Pacific/Chatham", "2026-06-29T00:00:00Z", &["2026-06-29T12:00Z"]);
}

/// In Berlin 02:00 to 03:00 is skipped on 2026-03-29, at 01:00 UTC.
#[test]
fn a_skipped_time_of_the_day_comes_once_in_the_moment_of_the_change() {
    let at = "2026-03-28T12:00:00Z";
    check("30 2 * * *", "Europe/Berlin", at, &["2026-03-29T01:00Z", "2026-03-30T00:30Z"]);
    check("0,20,40 2 * * *", "Europe/Berlin", at, &["2026-03-29T01:00Z", "2026-03-30T00:00Z"]);
    check("0 2,3 * * *", "Europe/Berlin", at, &["2026-03-29T01:00Z", "2026-03-30T00:00Z"]);
    check("0 3 * * *", "Europe/Berlin", at, &["2026-03-29T01:00Z", "2026-03-30T01:00Z"]);
    check("59 1 * * *", "Europe/Berlin", at, &["2026-03-29T00:59Z", "2026-03-29T23:59Z"]);
    check("30 2 * * 1", "Europe/Berlin", at, &["2026-03-30T00:30Z"]);
    // Intervals go on as if nothing was.
    check("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", &["2026-03-29T00:30Z", "2026-03-29T01:30Z"]);
    check("*/30 2 * * *", "Europe/Berlin", at, &["2026-03-30T00:00Z"]);
    // Clocks that change at midnight (Cairo, 2026-04-24 00:00 becomes 01:00).
    check("@daily", "Africa/Cairo", "2026-04-23T12:00:00Z", &["2026-04-23T22:00Z", "2026-04-24T21:00Z"]);
    // Half an hour only (Lord Howe, 2026-10-04 02:00 becomes 02:30).
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", &["2026-10-03T15:30Z", "2026-10-04T15:15Z"]);
    // A whole day (Apia left out 2011-12-30).
    check(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        &["2011-12-29T22:00Z", "2011-12-30T10:00Z", "2011-12-30T22:00Z"],
    );
}

/// In Berlin 02:00 to 03:00 is repeated on 2026-10-25: at 00:00 UTC and at 01:00 UTC.
#[test]
fn a_repeated_time_of_the_day_comes_the_first_time_only() {
    let at = "2026-10-24T12:00:00Z";
    check("30 2 * * *", "Europe/Berlin", at, &["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
    check("0 2 * * *", "Europe/Berlin", at, &["2026-10-25T00:00Z", "2026-10-26T01:00Z"]);
    check("0 3 * * *", "Europe/Berlin", at, &["2026-10-25T02:00Z", "2026-10-26T02:00Z"]);
    check("0,30 2,3 * * *", "Europe/Berlin", at, &["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T02:00Z"]);
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", &["2026-10-26T01:30Z"]);
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", &["2026-10-26T01:30Z"]);
    check(
        "30 * * * *",
        "Europe/Berlin",
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"],
    );
    check(
        "*/30 2 * * *",
        "Europe/Berlin",
        at,
        &["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z", "2026-10-26T01:00Z"],
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    let check = |text: &str, expect: &str| {
        let error = text.parse::<CronSchedule>().unwrap_err().to_string();
        assert!(error.contains(expect), "{text}: {error}");
        assert!(!error.contains('\n') && error.len() < 300, "{error}");
    };
    check("", "has 0 fields; write minute, hour");
    check("* * * *", "has 4 fields");
    check("0 * * * * *", "seconds are not supported");
    check("60 * * * *", "the minute '60' is not one; give *, or numbers from 0 to 59,");
    check("* 24 * * *", "the hour '24'");
    check("* * 0 * *", "the day of the month '0'");
    check("* * * 13 *", "the month '13' is not one; give *, or numbers from 1 to 12 or JAN-DEC");
    check("* * * * 8", "the day of the week '8'");
    check("* * * * MONDAY", "'MONDAY' is not one");
    check("-1 * * * *", "the minute '' is not one");
    check("+1 * * * *", "the minute '+1' is not one");
    check("1, * * * *", "the minute '' is not one");
    check("*/0 * * * *", "has the step '0'; give a whole number from 1");
    check("*/x * * * *", "has the step 'x'");
    check("*/2/2 * * * *", "has the step '2/2'");
    check("50-10 * * * *", "the minute '50-10' goes backwards; write it as two ranges, such as '50-59,0-10'");
    check("* * * * FRI-SUN", "goes backwards");
    check("0 0 30 2 *", "'0 0 30 2 *' never comes");
    check("0 0 31 4,6 *", "never comes");
    check("@reboot", "'@reboot' is none of @yearly");
    check("@every 5m", "such as '*/10 * * * *'");
    check("CRON_TZ=Asia/Tokyo 0 5 * * *", "the member 'timezone'");
    check("L * * * *", "the minute 'L'");
    check("\u{1b}[31m\n * * * *", r"the minute '\u{1b}[31m' is not one");
    check(&"*".repeat(500), "longer than 200");
}

proptest::proptest! {
    /// The search agrees with a walk over every minute.
    #[test]
    fn the_next_moment_is_the_first_that_matches(
        minute in "(\\*|\\*/[1-9]|[0-5]?[0-9]|[0-2]?[0-9]-[3-5][0-9])", hour in "(\\*|\\*/[2-6]|[0-9]|1[0-9])",
        day in "(\\*|[1-9]|1[0-9]-2[0-8])", weekday in "(\\*|[0-6])", after in 1_700_000_000_i64..1_800_000_000,
    ) {
        let schedule: CronSchedule = format!("{minute} {hour} {day} * {weekday}").parse().unwrap();
        let found = schedule.next(&Zone::default(), Timestamp::from_millis(after * 1000)).unwrap();
        let matches = |minute: i64| {
            let at = TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(minute * 60).unwrap());
            schedule.is_on(at.date()) && schedule.time_from(at.hour(), at.minute()) == Some((at.hour(), at.minute()))
        };
        let walked = (after / 60 + 1..).find(|minute| matches(*minute)).unwrap();
        proptest::prop_assert_eq!(found.millis(), walked * 60_000);
    }

    /// Whatever the zone, moments only move on, and local time matches but for moments of change.
    #[test]
    fn moments_move_on_by_full_minutes(after in 1_600_000_000_i64..2_000_000_000, zone in 0_usize..6, minute in 0..60, hour in 0..4) {
        let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Asia/Gaza"];
        let zone: Zone = zones[zone].parse().unwrap();
        let schedule: CronSchedule = format!("{minute} {hour} * * *").parse().unwrap();
        let first = schedule.next(&zone, Timestamp::from_millis(after * 1000)).unwrap();
        let second = schedule.next(&zone, first).unwrap();
        proptest::prop_assert!(first.millis() > after * 1000 && first.millis() % 60_000 == 0);
        let hours = (second.millis() - first.millis()) as f64 / 3_600_000.0;
        proptest::prop_assert!((22.0..=26.0).contains(&hours), "{hours} h");
    }
}
