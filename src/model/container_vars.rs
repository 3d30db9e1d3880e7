//! Config vars that say what the containers of an image look like, where the image itself leaves it open or cannot be changed.

use super::ConfigVars;
use super::setting::InvalidSetting;

/// The config var that names the port that an image listens on.
const PORT: &str = "PORT";
/// The config var that says whether containers get the engine's init.
const INIT: &str = "SLIPWAY_INIT";

/// The port that an app's config names for its image; `None` where it names none, or something else than a port.
pub fn chosen_port(values: &ConfigVars) -> Option<u16> {
    port(&values.get(PORT)?.to_string())
}

/// Whether an app's config asks for the engine's init (`yes`) or for none (`no`); `None` where it leaves the choice to the
/// platform.
pub fn chosen_init(values: &ConfigVars) -> Option<bool> {
    init(&values.get(INIT)?.to_string())
}

/// Whether a config var of that name may have that value, as far as containers go.
///
/// # Errors
/// [`InvalidSetting`] says what to give instead.
pub(super) fn check_var(name: &str, value: &str) -> Result<(), InvalidSetting> {
    match name {
        _ if value.is_empty() => Ok(()),
        PORT if port(value).is_none() => Err(InvalidSetting::new(name, value, "give a port from 1 to 65535")),
        INIT if init(value).is_none() => Err(InvalidSetting::new(name, value, "give yes or no")),
        _ => Ok(()),
    }
}

fn port(value: &str) -> Option<u16> {
    value.trim().parse().ok().filter(|port| *port != 0)
}

fn init(value: &str) -> Option<bool> {
    match value.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    #[test]
    fn a_port_and_an_init_are_chosen() {
        let of = |name: &str, value: &str| [(name.to_owned(), ConfigValue::Text(value.to_owned()))].into();
        assert_eq!(chosen_port(&of(PORT, "8080")), Some(8080));
        assert_eq!(chosen_port(&[(PORT.to_owned(), ConfigValue::Integer(80))].into()), Some(80));
        for value in ["", "0", "65536", "http", "-1"] {
            assert_eq!(chosen_port(&of(PORT, value)), None, "{value}");
            assert_eq!(check_var(PORT, value).is_err(), !value.is_empty(), "{value}");
        }
        assert_eq!(chosen_port(&ConfigVars::new()), None);
        assert_eq!((chosen_init(&of(INIT, "yes")), chosen_init(&of(INIT, "no"))), (Some(true), Some(false)));
        assert_eq!((chosen_init(&of(INIT, "maybe")), chosen_init(&ConfigVars::new())), (None, None));
        assert!(check_var(INIT, "maybe").is_err() && check_var(INIT, "no").is_ok() && check_var("OTHER", "x").is_ok());
    }
}
