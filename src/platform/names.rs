//! Names for apps whose creator gave none: an adjective and a noun, lower-case letters only (Deis, spec §4).

use rand::seq::IndexedRandom;

const ADJECTIVES: [&str; 64] = [
    "able", "agile", "amber", "ample", "apt", "azure", "balmy", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "clear", "clever", "cosmic", "cozy", "crisp", "daring", "deft", "eager", "early", "easy", "epic", "fair",
    "fleet", "fond", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "humble", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mighty", "nimble", "noble", "patient", "placid", "polite",
    "proud", "quick", "quiet", "rapid", "sage", "silver", "snug", "solid", "steady", "sunny", "swift", "vivid",
    "witty",
];

const NOUNS: [&str; 64] = [
    "anchor", "atoll", "ballast", "bay", "beacon", "bollard", "boom", "bow", "bridge", "buoy", "cabin", "canal",
    "capstan", "channel", "clipper", "coast", "compass", "coral", "cove", "crane", "crew", "current", "cutter", "deck",
    "delta", "dock", "dolphin", "ferry", "fjord", "galley", "gull", "harbor", "haven", "helm", "heron", "hull",
    "inlet", "island", "jetty", "kayak", "keel", "lagoon", "lantern", "ledger", "marina", "mast", "oar", "otter",
    "pelican", "pier", "pilot", "port", "quay", "raft", "reef", "rudder", "sail", "schooner", "shore", "sloop",
    "spray", "tide", "wharf", "yacht",
];

/// `brave-harbor`; one of a few thousand, so the caller tries again when it is taken.
pub fn generate() -> String {
    let mut rng = rand::rng();
    let adjective = ADJECTIVES.choose(&mut rng).expect("the list is not empty");
    let noun = NOUNS.choose(&mut rng).expect("the list is not empty");
    format!("{adjective}-{noun}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AppName;

    #[test]
    fn every_generated_name_is_an_app_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                assert!(format!("{adjective}-{noun}").parse::<AppName>().is_ok());
            }
        }
        assert!(generate().split_once('-').is_some());
    }
}
