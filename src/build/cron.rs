//! Scheduled commands, as `app.json` asks for them.
//!
//! The format is Dokku's (<https://dokku.com/docs/processes/scheduled-cron-tasks/>), where tasks have neither an id nor a time zone
//! of their own.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::app_json::InvalidAppJson;
use crate::model::{CRON_COMMAND_MAX, CRON_TASKS_MAX, CronSchedule, CronTask, CronTaskId};

/// Reads member `cron`; one that is not there has no tasks.
///
/// # Errors
/// [`InvalidAppJson`] names the entry and its member, and says what to write.
pub(super) fn parse(member: &Value) -> Result<Vec<CronTask>, InvalidAppJson> {
    let entries: &[Value] = match member {
        Value::Null => &[],
        Value::Array(entries) => entries,
        _ => {
            return Err(InvalidAppJson("cron is not a list; write [{\"command\": ..., \"schedule\": ...}]".to_owned()));
        }
    };
    if entries.len() > CRON_TASKS_MAX {
        return Err(InvalidAppJson(format!("cron has {} tasks; an app may have {CRON_TASKS_MAX}", entries.len())));
    }
    let mut tasks: Vec<CronTask> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let entry = Entry::of(index, entry)?;
        let task = entry.task()?;
        if let Some(first) = tasks.iter().position(|other| other.id == task.id) {
            return Err(entry.whole(&match entry.text("id")? {
                Some(id) => format!("has the id '{id}', as cron[{first}] has; give it another one"),
                None => {
                    format!("is the same command and schedule as cron[{first}]; take one away, or give one an \"id\"")
                }
            }));
        }
        tasks.push(task);
    }
    Ok(tasks)
}

/// One task as it was written.
struct Entry<'a> {
    /// `cron[0]`
    place: String,
    members: &'a Map<String, Value>,
}

impl<'a> Entry<'a> {
    fn of(index: usize, entry: &'a Value) -> Result<Self, InvalidAppJson> {
        let place = format!("cron[{index}]");
        match entry.as_object() {
            Some(members) => Ok(Self { place, members }),
            None => Err(InvalidAppJson(format!(
                "{place} is not an object; write {{\"command\": \"./backup\", \"schedule\": \"@daily\"}}"
            ))),
        }
    }

    fn task(&self) -> Result<CronTask, InvalidAppJson> {
        let command = self.command()?;
        let schedule = match self.text("schedule")? {
            Some(text) => text.parse::<CronSchedule>().map_err(|why| self.wrong("schedule", &why.to_string()))?,
            None => return Err(self.whole("has no schedule; give one, such as \"30 4 * * *\" or \"@daily\"")),
        };
        let zone = self.parsed("timezone")?.unwrap_or_default();
        let id = match self.text("id")? {
            Some(text) => text.parse().map_err(|why| self.wrong("id", &format!("'{}' {why}", shown(text))))?,
            None => CronTaskId::of(&command, &schedule, &zone),
        };
        let policy = match self.text("concurrency_policy")? {
            None => Default::default(),
            Some(text) => text.parse().map_err(|_| {
                self.wrong("concurrency_policy", &format!("'{}' is none of allow, forbid and replace", shown(text)))
            })?,
        };
        let is_paused = match self.members.get("maintenance") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is_paused)) => *is_paused,
            Some(_) => return Err(self.wrong("maintenance", "is neither true nor false")),
        };
        Ok(CronTask { id, command, schedule, zone, policy, is_paused })
    }

    fn command(&self) -> Result<String, InvalidAppJson> {
        let Some(command) = self.text("command")? else {
            return Err(self.whole("has no command; give what is to be run, such as \"./backup\", or a process type"));
        };
        if command.len() > CRON_COMMAND_MAX {
            return Err(
                self.wrong("command", &format!("has more than {CRON_COMMAND_MAX} bytes; put a script into the app"))
            );
        }
        if command.contains('\0') {
            return Err(self.wrong("command", "has a null character, which no shell takes"));
        }
        Ok(command.to_owned())
    }

    fn parsed<T: FromStr<Err: Display>>(&self, member: &str) -> Result<Option<T>, InvalidAppJson> {
        let text = self.text(member)?;
        text.map(|text| text.parse().map_err(|why: T::Err| self.wrong(member, &why.to_string()))).transpose()
    }

    /// A text that says something.
    fn text(&self, member: &str) -> Result<Option<&'a str>, InvalidAppJson> {
        match self.members.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong(member, "is not a text")),
        }
    }

    fn wrong(&self, member: &str, problem: &str) -> InvalidAppJson {
        InvalidAppJson(format!("{}.{member}: {problem}", self.place))
    }

    fn whole(&self, problem: &str) -> InvalidAppJson {
        InvalidAppJson(format!("{} {problem}", self.place))
    }
}

/// A text of the tenant's, short and on one line.
fn shown(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{CronPolicy, Zone};

    #[test]
    fn tasks_are_read_as_dokku_reads_them() {
        let tasks = parse(&json!([
            {"command": "npm run send-email", "schedule": "@daily"},
            {
                "command": " ./backup --all ", "schedule": "30 4 * * MON", "concurrency_policy": "forbid", "maintenance": true,
                "timezone": "Europe/Berlin", "id": "backup", "something": "else",
            },
            {"command": "true", "schedule": "* * * * *", "concurrency_policy": "replace", "maintenance": false},
            {"command": "false", "schedule": "* * * * *", "concurrency_policy": null, "maintenance": null, "timezone": null, "id": null},
            {"command": "false", "schedule": "@hourly", "concurrency_policy": "", "timezone": "", "id": ""},
        ]))
        .unwrap();
        let [email, backup, replace, nulls, empty] = &tasks[..] else { panic!("{tasks:?}") };
        assert_eq!((email.command.as_str(), email.schedule.as_str()), ("npm run send-email", "@daily"));
        assert_eq!((email.policy, email.is_paused, &email.zone), (CronPolicy::Allow, false, &Zone::default()));
        assert_eq!(email.id, CronTaskId::of(&email.command, &email.schedule, &email.zone));
        assert_eq!((backup.id.as_str(), backup.command.as_str()), ("backup", "./backup --all"));
        assert_eq!(
            (backup.policy, backup.is_paused, backup.zone.as_str()),
            (CronPolicy::Forbid, true, "Europe/Berlin")
        );
        assert_eq!((replace.policy, replace.is_paused), (CronPolicy::Replace, false));
        for task in [nulls, empty] {
            assert_eq!((task.policy, task.is_paused, &task.zone), (CronPolicy::Allow, false, &Zone::default()));
        }
        assert_eq!(parse(&Value::Null), Ok(Vec::new()));
        assert_eq!(parse(&json!([])), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_entry() {
        let check = |member: Value, expect: &str| {
            let error = parse(&member).unwrap_err().to_string();
            assert!(error.starts_with("app.json: ") && error.contains(expect), "{error}");
        };
        let with = |name: &str, value: Value| {
            let mut task = json!({"command": "true", "schedule": "@daily"});
            task[name] = value;
            json!([{"command": "first", "schedule": "@daily"}, task])
        };
        check(json!({"command": "true"}), "cron is not a list");
        check(json!("@daily true"), "cron is not a list");
        check(json!([true]), "cron[0] is not an object");
        check(json!(["@daily true"]), "cron[0] is not an object");
        check(with("command", Value::Null), "cron[1] has no command");
        check(with("command", json!("  ")), "cron[1] has no command");
        check(with("command", json!(["a"])), "cron[1].command: is not a text");
        check(with("command", json!("a\0b")), "cron[1].command: has a null character");
        check(with("command", json!("x".repeat(5000))), "cron[1].command: has more than 4096 bytes");
        check(with("schedule", Value::Null), "cron[1] has no schedule; give one");
        check(with("schedule", json!(5)), "cron[1].schedule: is not a text");
        check(
            with("schedule", json!("61 * * * *")),
            "cron[1].schedule: the minute '61' is not one; give *, or numbers from 0 to 59",
        );
        check(with("schedule", json!("0 0 31 2 *")), "cron[1].schedule: '0 0 31 2 *' never comes");
        check(
            with("timezone", json!("Berlin")),
            "cron[1].timezone: 'Berlin' is not a time zone; give a name of the IANA database",
        );
        check(with("timezone", json!(1)), "cron[1].timezone: is not a text");
        check(
            with("concurrency_policy", json!("never")),
            "cron[1].concurrency_policy: 'never' is none of allow, forbid and replace",
        );
        check(with("concurrency_policy", json!("Forbid")), "'Forbid' is none of");
        check(with("maintenance", json!("yes")), "cron[1].maintenance: is neither true nor false");
        check(with("id", json!("a b")), "cron[1].id: 'a b' is not an id; use 1 to 63");
        check(with("command", json!("first")), "cron[1] is the same command and schedule as cron[0]");
        let same = json!([{"command": "a", "schedule": "@daily", "id": "x"}, {"command": "b", "schedule": "@daily", "id": "x"}]);
        check(same, "cron[1] has the id 'x', as cron[0] has");
        let task = |minute: usize| json!({"command": "true", "schedule": format!("{minute} * * * *")});
        let many: Vec<Value> = (0..51).map(task).collect();
        check(many.clone().into(), "cron has 51 tasks; an app may have 50");
        assert_eq!(parse(&many[..50].to_vec().into()).unwrap().len(), 50);
    }
}
