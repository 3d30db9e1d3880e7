//! Lines as syslog messages (RFC 5424), counted by octets (RFC 6587 §3.4.1).

use std::io::Write;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::model::{AppName, LogLine, LogSource};

const MICROS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
/// Facility 1 (user), severity 6 (informational): what instances say, whose severity nobody knows.
const OF_APP: u8 = 14;
/// Facility 16 (local 0), severity 6: the platform.
const OF_PLATFORM: u8 = 134;

/// Appends the message of a line: its length in octets, a space, the message. `end` is appended to the text and counted.
///
/// Host name is the app's name; app name is `app`, `router` or `slipway`; process id is `web.1`, `router` or the part of
/// the platform. There is no message id and no structured data.
pub(super) fn encode(app: &AppName, line: &LogLine, end: &str, into: &mut Vec<u8>) {
    let (priority, name, process) = match &line.source {
        LogSource::App { process, number, .. } => (OF_APP, "app", format!("{process}.{number}")),
        LogSource::Router => (OF_PLATFORM, "router", LogSource::ROUTER.to_owned()),
        LogSource::Slipway(component) => (OF_PLATFORM, "slipway", component.clone()),
    };
    let message = format!("<{priority}>1 {} {app} {name} {process} - - {}{end}", stamp(line.nanos), line.text);
    write!(into, "{} ", message.len()).expect("a Vec takes everything");
    into.extend_from_slice(message.as_bytes());
}

/// RFC 3339 with microseconds; `-` for what is no time at all.
fn stamp(nanos: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).ok();
    moment.and_then(|moment| moment.format(MICROS).ok()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceId;

    #[test]
    fn a_line_becomes_a_counted_message() {
        let check = |source: LogSource, text: &str, end: &str, expect: &str| {
            let line = LogLine { nanos: 1_415_995_200_123_456_789, source, text: text.to_owned() };
            let mut bytes = Vec::new();
            encode(&"hello".parse().unwrap(), &line, end, &mut bytes);
            let frame = String::from_utf8(bytes).unwrap();
            let (count, message) = frame.split_once(' ').unwrap();
            assert_eq!((count.parse(), message), (Ok(message.len()), expect));
        };
        let web = LogSource::App { process: "web".parse().unwrap(), number: 1, instance: InstanceId::new() };
        check(web.clone(), "Grüße", "", "<14>1 2014-11-14T20:00:00.123456Z hello app web.1 - - Grüße");
        check(web.clone(), "a\0b", "\n", "<14>1 2014-11-14T20:00:00.123456Z hello app web.1 - - a\0b\n");
        check(web, "", "", "<14>1 2014-11-14T20:00:00.123456Z hello app web.1 - - ");
        check(LogSource::Router, "x", "", "<134>1 2014-11-14T20:00:00.123456Z hello router router - - x");
        let release = LogSource::of_component("release");
        check(release, "v2", "", "<134>1 2014-11-14T20:00:00.123456Z hello slipway release - - v2");
    }
}
