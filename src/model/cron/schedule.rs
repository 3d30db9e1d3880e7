//! When a scheduled command is due: five fields of crontab(5), or a nickname.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::super::Timestamp;
use super::zone::Zone;

/// Longest schedule that is read, in bytes.
const SCHEDULE_MAX: usize = 200;

/// How far ahead is looked, in days: between two leap days that fall on the same day of the week lie 40 years at most.
const HORIZON_DAYS: u32 = 366 * 41;

/// Nicknames of crontab(5) and what they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A schedule that some day comes. Two moments of it lie at least a minute apart.
///
/// Fields are minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or `JAN`-`DEC`) and day of the week (0-7 or
/// `SUN`-`SAT`; 0 and 7 are Sunday), each `*`, a value, a range, a step such as `*/5`, or a list of those. If both days are
/// restricted (neither begins with `*`), either suffices, as in crontab(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronSchedule {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the day of the month and the day of the week begin with `*`.
    any_day: bool,
    any_weekday: bool,
    /// Whether minute or hour begins with `*`, which says an interval rather than a time of the day.
    is_interval: bool,
}

/// The text is no schedule; says why, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchedule(String);

/// One of the five fields.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "day of the week", least: 0, most: 7, names: &WEEKDAYS },
];

impl Field {
    /// The values as bits.
    fn parse(&self, text: &str) -> Result<u64, InvalidSchedule> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, InvalidSchedule> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (self.least, self.most),
            (_, Some((first, last))) => (self.value(first)?, self.value(last)?),
            // As in Dokku: a step counts from the value to the end.
            (_, None) if step.is_some() => (self.value(range)?, self.most),
            (_, None) => (self.value(range)?, self.value(range)?),
        };
        if first > last {
            let (name, first, last) = (self.name, self.shown(first), self.shown(last));
            return Err(InvalidSchedule(format!(
                "the {name} '{part}' goes backwards; write it as two ranges, such as '{first}-{},{}-{last}'",
                self.most, self.least
            )));
        }
        let step = match step {
            None => 1,
            Some(text) => text.parse::<u8>().ok().filter(|step| *step > 0).ok_or_else(|| {
                InvalidSchedule(format!(
                    "the {} '{part}' has the step '{}'; give a whole number from 1",
                    self.name,
                    cut(text)
                ))
            })?,
        };
        Ok((first..=last).step_by(usize::from(step)).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u8, InvalidSchedule> {
        let by_name = self.names.iter().zip(self.least..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let number = || text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let value = by_name.map(|(_, value)| value).or_else(number);
        value.filter(|value| (self.least..=self.most).contains(value)).ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(" or {first}-{last}"),
                _ => String::new(),
            };
            InvalidSchedule(format!(
                "the {} '{}' is not one; give *, or numbers from {} to {}{names}, lists (1,2), ranges (1-5) or steps (*/5) of them",
                self.name, cut(text), self.least, self.most
            ))
        })
    }

    fn shown(&self, value: u8) -> String {
        let index = usize::from(value.saturating_sub(self.least));
        self.names.get(index).map_or_else(|| value.to_string(), |name| (*name).to_owned())
    }
}

/// A text of the tenant's, short and on one line.
fn cut(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect::<String>().escape_debug().collect();
    if text.chars().count() > SHOWN { format!("{shown}...") } else { shown }
}

impl FromStr for CronSchedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let text = text.trim();
        if text.len() > SCHEDULE_MAX {
            return Err(InvalidSchedule(format!("is longer than {SCHEDULE_MAX} bytes")));
        }
        let Some(rest) = text.strip_prefix('@') else { return Self::of_fields(text, text) };
        match NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((_, fields)) => Self::of_fields(text, fields),
            None if rest.starts_with("every") => Err(InvalidSchedule(format!(
                "'{}' counts from a start that it does not name; write the minutes, such as '*/10 * * * *'",
                cut(text)
            ))),
            None => {
                let names = NICKNAMES.map(|(name, _)| name).join(", ");
                Err(InvalidSchedule(format!("'{}' is none of {names}", cut(text))))
            }
        }
    }
}

impl CronSchedule {
    fn of_fields(text: &str, fields: &str) -> Result<Self, InvalidSchedule> {
        let words: Vec<&str> = fields.split_ascii_whitespace().collect();
        if words.first().is_some_and(|word| word.starts_with("TZ=") || word.starts_with("CRON_TZ=")) {
            return Err(InvalidSchedule("a time zone goes into the member 'timezone'".to_owned()));
        }
        let [minute, hour, day, month, weekday] = words[..] else {
            let hint = if words.len() == 6 { "; seconds are not supported" } else { "" };
            return Err(InvalidSchedule(format!(
                "'{}' has {} fields; write minute, hour, day of the month, month and day of the week, such as '30 4 * * 1-5', or \
                 @daily{hint}",
                cut(fields),
                words.len()
            )));
        };
        let [minutes, hours, days, months, weekdays] = FIELDS;
        let is_any = |word: &str| word.starts_with(['*', '?']);
        let weekdays = weekdays.parse(weekday)?;
        let schedule = Self {
            text: text.to_owned(),
            minutes: minutes.parse(minute)?,
            hours: hours.parse(hour)?,
            days: days.parse(day)?,
            months: months.parse(month)?,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            any_day: is_any(day),
            any_weekday: is_any(weekday),
            is_interval: is_any(minute) || is_any(hour),
        };
        let some_day = schedule.local_from(DateTime::constant(2001, 1, 1, 0, 0, 0, 0));
        some_day.map(|_| schedule).ok_or_else(|| {
            InvalidSchedule(format!("'{}' never comes: no such month has such a day; correct day or month", cut(text)))
        })
    }

    /// The text that it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first moment of the schedule that comes after `after`, where clocks show the time of `zone`; always a full minute
    /// there. `None` at the end of time.
    ///
    /// When clocks are changed, what cron(8) does, for changes of any size: times of the day that are skipped come together
    /// in the moment of the change, and times that are repeated come the first time only; schedules whose minute or hour begins with
    /// `*` are intervals, which neither make up for what is skipped nor leave out what is repeated.
    pub fn next(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let zone = zone.rules();
        let mut from = jiff::Timestamp::from_millisecond(after.millis().checked_add(1)?).ok()?;
        let give_up = after.millis().checked_add(i64::from(HORIZON_DAYS) * 86_400_000)?;
        while from.as_millisecond() < give_up {
            // From here to the next change of clocks, local time runs as fast as time.
            let offset = zone.to_offset(from);
            let change = zone.following(from).next().map(|change| change.timestamp());
            let begin = self.unrepeated(zone, from, offset.to_datetime(from));
            let found = self.local_from(ceil_minute(begin)?)?;
            let found = offset.to_timestamp(found).ok()?;
            match change {
                Some(change) if found >= change => {
                    if self.is_skipped_at(zone, offset.to_datetime(change), change) {
                        return Some(Timestamp::from_millis(change.as_millisecond()));
                    }
                    from = change;
                }
                _ => return Some(Timestamp::from_millis(found.as_millisecond())),
            }
        }
        None
    }

    /// Whether a time of the day is among those that clocks skip at `change`, where they would have shown `old`.
    fn is_skipped_at(&self, zone: &TimeZone, old: DateTime, change: jiff::Timestamp) -> bool {
        let new = zone.to_datetime(change);
        // At `new` itself the schedule comes anyway.
        !self.is_interval && new > old && self.local_from(old).is_some_and(|skipped| skipped < new)
    }

    /// The local time to look from: for a time of the day, behind what clocks show for the second time at `from`.
    fn unrepeated(&self, zone: &TimeZone, from: jiff::Timestamp, local: DateTime) -> DateTime {
        if self.is_interval {
            return local;
        }
        let Ok(later) = from.checked_add(jiff::SignedDuration::from_nanos(1)) else { return local };
        let Some(change) = zone.preceding(later).next() else { return local };
        let Ok(before) = change.timestamp().checked_sub(jiff::SignedDuration::from_secs(1)) else { return local };
        local.max(zone.to_offset(before).to_datetime(change.timestamp()))
    }

    /// The first local time from `from` on, which is a full minute.
    fn local_from(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut minute) = (from.date(), from.time());
        for _ in 0..HORIZON_DAYS {
            if self.is_on(date)
                && let Some((hour, minute)) = self.time_from(minute.hour(), minute.minute())
            {
                return Some(date.at(hour, minute, 0, 0));
            }
            (date, minute) = (date.tomorrow().ok()?, jiff::civil::Time::midnight());
        }
        None
    }

    fn is_on(&self, date: Date) -> bool {
        let has = |bits: u64, value: i8| bits >> value & 1 == 1;
        let (day, weekday) = (has(self.days, date.day()), has(self.weekdays, date.weekday().to_sunday_zero_offset()));
        let is_day = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        is_day && has(self.months, date.month())
    }

    /// The first time of a day from this one on.
    fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let in_this_hour = (self.hours >> hour & 1 == 1).then(|| first_from(self.minutes, minute)).flatten();
        in_this_hour.map(|minute| (hour, minute)).or_else(|| {
            let hour = first_from(self.hours, hour + 1)?;
            Some((hour, first_from(self.minutes, 0)?))
        })
    }
}

/// The lowest value from `least` on whose bit is set.
fn first_from(bits: u64, least: i8) -> Option<i8> {
    let rest = bits & (!0_u64).checked_shl(least.unsigned_abs().into())?;
    i8::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)
}

/// The first full minute that is not before.
fn ceil_minute(local: DateTime) -> Option<DateTime> {
    let floor = local.date().at(local.hour(), local.minute(), 0, 0);
    if floor == local { Some(local) } else { floor.checked_add(jiff::SignedDuration::from_mins(1)).ok() }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
