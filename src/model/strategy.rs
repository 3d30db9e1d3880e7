//! Strategies: in which order a rollout replaces instances.

use std::fmt;

use super::setting::InvalidSetting;
use super::{ConfigVars, InstanceState};

/// The config var that names an app's strategy.
const STRATEGY: &str = "SLIPWAY_STRATEGY";
/// The config var that bounds the instances beyond the usual number.
const SURGE: &str = "SLIPWAY_STRATEGY_SURGE";
/// Most instances beyond the usual number.
const SURGE_MAX: u32 = 500;

/// In which order new instances come and old ones go. With every one of them a failure leaves the old release serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// All new ones start beside the old ones; one switch; the old ones drain.
    Beside,
    /// Batch by batch, so that at most so many run beyond the usual number. Both releases serve meanwhile.
    Rolling {
        /// Instances beyond the usual number; also the size of a batch.
        surge: u32,
    },
    /// The old ones end before the first new one starts, for apps that cannot run twice. Nobody serves meanwhile.
    StopFirst,
}

impl Strategy {
    /// The strategy that an app's config asks for; `None` when it leaves the choice to the platform.
    ///
    /// # Errors
    /// The config var whose value makes no sense.
    pub fn of_config(values: &ConfigVars) -> Result<Option<Self>, InvalidSetting> {
        let text = |name: &str| values.get(name).map(ToString::to_string).filter(|text| !text.is_empty());
        let surge = text(SURGE).map(|value| parse_surge(&value)).transpose()?.unwrap_or(1);
        text(STRATEGY).map(|value| parse(&value, surge)).transpose()
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beside => "beside",
            Self::Rolling { .. } => "rolling",
            Self::StopFirst => "stop-first",
        })
    }
}

/// Whether a config var of that name may have that value, as far as strategies go.
///
/// # Errors
/// [`InvalidSetting`] says what to give instead.
pub(super) fn check_var(name: &str, value: &str) -> Result<(), InvalidSetting> {
    match name {
        _ if value.is_empty() => Ok(()),
        STRATEGY => parse(value, 1).map(drop),
        SURGE => parse_surge(value).map(drop),
        _ => Ok(()),
    }
}

fn parse(value: &str, surge: u32) -> Result<Strategy, InvalidSetting> {
    match value.trim() {
        "beside" => Ok(Strategy::Beside),
        "rolling" => Ok(Strategy::Rolling { surge }),
        "stop-first" => Ok(Strategy::StopFirst),
        _ => Err(InvalidSetting::new(STRATEGY, value, "give beside, rolling or stop-first")),
    }
}

fn parse_surge(value: &str) -> Result<u32, InvalidSetting> {
    let surge = value.trim().parse().ok().filter(|surge| (1..=SURGE_MAX).contains(surge));
    surge.ok_or_else(|| InvalidSetting::new(SURGE, value, format!("give a whole number from 1 to {SURGE_MAX}")))
}

impl InstanceState {
    /// Whether the app is to have this instance, whatever comes of the operation that is under way.
    pub fn is_wanted(self) -> bool {
        matches!(self, Self::Live | Self::Parked | Self::Halted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    #[test]
    fn an_app_names_its_strategy() {
        let of = |pairs: &[(&str, &str)]| {
            let vars = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), ConfigValue::Text((*value).to_owned())))
                .collect();
            Strategy::of_config(&vars).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[(STRATEGY, "")]), Ok(None));
        assert_eq!(of(&[(STRATEGY, "beside")]), Ok(Some(Strategy::Beside)));
        assert_eq!(of(&[(STRATEGY, "rolling")]), Ok(Some(Strategy::Rolling { surge: 1 })));
        assert_eq!(of(&[(STRATEGY, "rolling"), (SURGE, "3")]), Ok(Some(Strategy::Rolling { surge: 3 })));
        assert_eq!(of(&[(STRATEGY, "stop-first")]), Ok(Some(Strategy::StopFirst)));
        assert!(of(&[(STRATEGY, "stopfirst")]).unwrap_err().contains("beside, rolling or stop-first"));
        assert!(of(&[(SURGE, "0")]).unwrap_err().contains("from 1 to 500"));
        assert!(check_var(STRATEGY, "canary").is_err() && check_var(SURGE, "x").is_err());
        assert!(check_var(STRATEGY, "").is_ok() && check_var("OTHER", "x").is_ok());
    }
}
