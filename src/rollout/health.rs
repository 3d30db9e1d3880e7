//! Which checks hold for the instances of a process type.

use super::{RolloutSettings, Target, spec};
use crate::model::health::of_config;
use crate::model::{Check, CheckKind, InvalidSetting, ProcessType, Question};

/// The checks of the instances of one process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contract {
    /// All have to pass before an instance gets requests; at least one.
    pub startup: Vec<Check>,
    /// Each goes on for the life of an instance; often none.
    pub liveness: Vec<Check>,
}

impl Contract {
    /// What holds for instances of `process`. The first source that says anything decides: the `app.json` of the build, the
    /// app's `HEALTHCHECK_URL`, the `HEALTHCHECK` of the image. The last two are about what listens: they were written for
    /// the server in the image, and hold for routed types only. Without any, a routed type listens on its port, any other
    /// stays up for [`RolloutSettings::settle`].
    ///
    /// Whatever is asked, a routed instance also has to accept connections on its port, or requests would fail there.
    ///
    /// # Errors
    /// A config var whose value makes no sense.
    pub fn of(settings: &RolloutSettings, target: &Target, process: &ProcessType) -> Result<Self, InvalidSetting> {
        let is_routed = process.is_routed();
        let health = &target.build.health;
        let of_config = of_config(&target.config.values)?;
        let checks = match health.app.get(process) {
            Some(checks) => checks.clone(),
            None if !is_routed => Vec::new(),
            None if !of_config.is_empty() => of_config,
            None => health.image.clone(),
        };
        let (mut startup, liveness): (Vec<_>, Vec<_>) =
            checks.into_iter().partition(|check| check.kind == CheckKind::Startup);
        if is_routed && !startup.iter().any(|check| asks_port(check, spec::port(target))) {
            let limit = startup.iter().map(|check| check.startup_limit(settings.boot_timeout)).max();
            let listening = Check::new(CheckKind::Startup, Question::Listening(None));
            startup.push(Check { limit, ..listening });
        }
        if startup.is_empty() {
            startup.push(Check::new(CheckKind::Startup, Question::Uptime(settings.settle)));
        }
        Ok(Self { startup, liveness })
    }
}

/// Whether no instance can pass this check without listening on that port.
fn asks_port(check: &Check, port: u16) -> bool {
    let asked = match &check.question {
        Question::Http(question) => question.port,
        Question::Listening(asked) => *asked,
        Question::Command(_) | Question::Uptime(_) => return false,
    };
    !check.only_warns && asked.unwrap_or(port) == port
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests_support::{settings, target};
    use super::*;
    use crate::model::health::of_image;
    use crate::model::{ConfigValue, HttpQuestion};

    /// What the type has to show, and go on showing.
    fn check(target: &Target, process: &str, startup: &[&str], liveness: &[&str]) {
        let contract = Contract::of(&settings(), target, &process.parse().unwrap()).unwrap();
        let texts = |checks: &[Check]| checks.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((texts(&contract.startup), texts(&contract.liveness)), (texts_of(startup), texts_of(liveness)));
    }

    fn texts_of(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_first_source_that_says_anything_decides() {
        let mut target = target();
        check(&target, "web", &["its port"], &[]);
        check(&target, "worker", &["running for 0.05 s"], &[]);
        let times = (Duration::from_secs(30), Duration::from_secs(30));
        target.build.health.image = of_image(&["look".to_owned()], times.0, times.1, Duration::ZERO, 3);
        check(&target, "web", &["command 'look'", "its port"], &["command 'look'"]);
        check(&target, "worker", &["running for 0.05 s"], &[]);
        target.config.values.insert("HEALTHCHECK_URL".into(), ConfigValue::Text("/up".into()));
        check(&target, "web", &["GET /up"], &[]);
        check(&target, "worker", &["running for 0.05 s"], &[]);
        let on = |kind, port| Check::new(kind, Question::Http(HttpQuestion { port, ..HttpQuestion::get("/live") }));
        target.build.health.app.insert("web".parse().unwrap(), vec![on(CheckKind::Startup, Some(9))]);
        check(&target, "web", &["GET /live on port 9", "its port"], &[]);
        target.build.health.app.insert("web".parse().unwrap(), vec![on(CheckKind::Startup, Some(5000))]);
        check(&target, "web", &["GET /live on port 5000"], &[]);
        target.build.health.app.insert("worker".parse().unwrap(), vec![on(CheckKind::Liveness, None)]);
        check(&target, "worker", &["running for 0.05 s"], &["GET /live"]);
    }

    #[test]
    fn a_config_var_that_makes_no_sense_is_named() {
        let mut target = target();
        for (name, value) in [("HEALTHCHECK_URL", "/up"), ("HEALTHCHECK_TIMEOUT", "soon")] {
            target.config.values.insert(name.into(), ConfigValue::Text(value.into()));
        }
        let error = Contract::of(&settings(), &target, &ProcessType::web()).unwrap_err();
        assert_eq!(error.to_string(), "HEALTHCHECK_TIMEOUT is 'soon': give whole seconds from 1 to 3600");
    }
}
