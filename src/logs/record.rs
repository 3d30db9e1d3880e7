//! How a line lies on disk: one JSON object per line of the file.
//!
//! JSON, because a record that a crash tore apart, or a power cut left as zeroes, does not parse and is skipped, and
//! because people have tools for it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::{InstanceId, LogLine, LogSource};

/// Newest stored engine stamp of each instance, in nanoseconds since the epoch.
pub(super) type Marks = HashMap<InstanceId, i64>;

/// What one record says.
#[derive(Debug, PartialEq)]
pub(super) enum Record {
    /// A line of the stream.
    Line(LogLine),
    /// First record of a file: how far each instance was stored when the file was begun.
    Marks(Marks),
}

#[derive(Default, Serialize, Deserialize)]
struct Fields<'a> {
    /// Nanoseconds since the epoch.
    t: i64,
    /// `web.1`, for a line of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<Cow<'a, str>>,
    /// The instance's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    /// The component, for a line of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slipway: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marks: Option<HashMap<String, i64>>,
    #[serde(default)]
    text: Cow<'a, str>,
}

/// The part of a record that tells how far an instance is stored. Skips the text, so it is cheap to read.
#[derive(Deserialize)]
struct Stamp<'a> {
    t: i64,
    #[serde(borrow)]
    id: Option<&'a str>,
    marks: Option<HashMap<String, i64>>,
}

/// Appends the record of `line` to `into`, its text cut to at most `line_bytes`.
pub(super) fn encode(line: &LogLine, line_bytes: usize, into: &mut Vec<u8>) {
    let mut fields = Fields { t: line.nanos, text: cut(&line.text, line_bytes), ..Fields::default() };
    match &line.source {
        LogSource::App { process, number, instance } => {
            fields.app = Some(format!("{process}.{number}").into());
            fields.id = Some(instance.to_string().into());
        }
        LogSource::Router => fields.slipway = Some(LogSource::ROUTER.into()),
        LogSource::Slipway(component) => fields.slipway = Some(component.as_str().into()),
    }
    write(&fields, into);
}

/// Appends the record that opens a file.
pub(super) fn encode_marks<'a>(marks: impl Iterator<Item = (&'a InstanceId, &'a i64)>, into: &mut Vec<u8>) {
    let marks = marks.map(|(instance, nanos)| (instance.to_string(), *nanos)).collect();
    write(&Fields { marks: Some(marks), ..Fields::default() }, into);
}

fn write(fields: &Fields<'_>, into: &mut Vec<u8>) {
    serde_json::to_writer(&mut *into, fields).expect("text and numbers are JSON, and a Vec takes them");
    into.push(b'\n');
}

/// `text` in at most `limit` bytes; a cut is marked at the end.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let kept = &text[..text.floor_char_boundary(limit)];
    format!("{kept}... ({} bytes cut)", text.len() - kept.len()).into()
}

/// Reads one record, given without its line end; `None` for anything that is none.
pub(super) fn decode(record: &[u8]) -> Option<Record> {
    let fields: Fields<'_> = serde_json::from_slice(record).ok()?;
    if let Some(marks) = fields.marks {
        return Some(Record::Marks(parse_marks(marks)));
    }
    let source = match (fields.app, fields.id, fields.slipway) {
        (Some(app), Some(id), _) => {
            let (process, number) = app.rsplit_once('.')?;
            LogSource::App { process: process.parse().ok()?, number: number.parse().ok()?, instance: id.parse().ok()? }
        }
        (_, _, Some(component)) => LogSource::of_component(&component),
        _ => return None,
    };
    Some(Record::Line(LogLine { nanos: fields.t, source, text: fields.text.into_owned() }))
}

/// Notes in `marks` what a record says about how far instances are stored; says whether it opens a file.
pub(super) fn note_marks(record: &[u8], marks: &mut Marks) -> bool {
    let Ok(stamp) = serde_json::from_slice::<Stamp<'_>>(record) else { return false };
    if let Some(instance) = stamp.id.and_then(|id| id.parse().ok()) {
        raise(marks, instance, stamp.t);
    }
    let opens = stamp.marks.is_some();
    for (instance, nanos) in parse_marks(stamp.marks.unwrap_or_default()) {
        raise(marks, instance, nanos);
    }
    opens
}

/// Lifts the mark of an instance to `nanos`, never lowers it.
pub(super) fn raise(marks: &mut Marks, instance: InstanceId, nanos: i64) {
    marks.entry(instance).and_modify(|mark| *mark = nanos.max(*mark)).or_insert(nanos);
}

fn parse_marks(marks: HashMap<String, i64>) -> Marks {
    marks.into_iter().filter_map(|(id, nanos)| Some((id.parse().ok()?, nanos))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(line: &LogLine, line_bytes: usize) -> Option<Record> {
        let mut bytes = Vec::new();
        encode(line, line_bytes, &mut bytes);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "one record is one line");
        decode(bytes.strip_suffix(b"\n").unwrap())
    }

    proptest! {
        #[test]
        fn lines_come_back_as_they_were(nanos in any::<i64>(), text in any::<String>(), number in 1u32..99) {
            let app = LogSource::App { process: "my-web_2".parse().unwrap(), number, instance: InstanceId::new() };
            for source in [app, LogSource::Router, LogSource::Slipway("deploy".to_owned())] {
                let line = LogLine { nanos, source, text: text.clone() };
                prop_assert_eq!(round_trip(&line, usize::MAX), Some(Record::Line(line)));
            }
        }

        #[test]
        fn a_torn_record_is_no_record(text in any::<String>(), keep in 0.0..1.0f64) {
            let line = LogLine { nanos: 1, source: LogSource::Slipway("x".to_owned()), text };
            let mut bytes = Vec::new();
            encode(&line, usize::MAX, &mut bytes);
            bytes.truncate((keep * (bytes.len() - 2) as f64) as usize);
            prop_assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_says_so() {
        let line = LogLine { nanos: 1, source: LogSource::Slipway("x".to_owned()), text: "ä".repeat(10) };
        let Some(Record::Line(line)) = round_trip(&line, 5) else { panic!("no line") };
        assert_eq!(line.text, "ää... (16 bytes cut)");
    }

    #[test]
    fn marks_are_read_from_lines_and_from_openers() {
        let (one, two) = (InstanceId::new(), InstanceId::new());
        let (mut bytes, mut marks) = (Vec::new(), Marks::new());
        encode_marks([(&one, &5), (&two, &9)].into_iter(), &mut bytes);
        assert!(note_marks(&bytes, &mut marks));
        let source = LogSource::App { process: "web".parse().unwrap(), number: 1, instance: one };
        for nanos in [8, 7] {
            bytes.clear();
            encode(&LogLine { nanos, source: source.clone(), text: "x\"".to_owned() }, 99, &mut bytes);
            assert!(!note_marks(&bytes, &mut marks));
        }
        assert_eq!(marks, Marks::from([(one, 8), (two, 9)]));
    }
}
