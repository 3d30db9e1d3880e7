//! What the bodies of requests may hold.

use serde_json::{Value, json};

use crate::api::openapi::words;
use crate::model::{GROUP_COUNT_MAX, GROUP_NAME_MAX, USERNAME_MAX};

/// A reference to an image, or its URI; some more are taken.
const IMAGE: &str = "^(/api/v1/image/)?([a-z0-9]+([.-][a-z0-9]+)*(:[1-9][0-9]{0,3})?/)?[a-z0-9]+([._-][a-z0-9]+)*\
                     (:[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}|/tag/[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}/)?$";
/// What a POSIX shell can split into words: every quote is closed, and something follows each backslash.
const COMMAND: &str = r#"^([^'"\\\u0000]|\\[^\u0000]|'[^'\u0000]*'|"([^"\\\u0000]|\\[^\u0000])*")*$"#;
const TAG: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$";
const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
const ANY_TEXT: &str = r"^[^\u0000]*$";
const HOST: &str = r"^([a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,20}[a-z0-9])?$";

words! {
    /// What an application is made of.
    NewApplication = json!({
        "type": "object",
        "description": "What an application is made of. Members that are null count as not given.",
        "anyOf": [{"required": ["image"]}, {"required": ["image_tag"]}],
        "properties": new_application(),
        "examples": [{
            "image": "tutum/hello-world", "name": "my-new-app", "target_num_containers": 2, "container_size": "XS",
            "container_envvars": [{"key": "GREETING", "value": "hello"}], "autorestart": "ON_FAILURE",
        }],
        "x-order": ["image", "image_tag", "name", "target_num_containers", "container_size", "run_command", "entrypoint",
                    "container_ports", "container_envvars", "linked_to_application", "autorestart", "autoreplace",
                    "autodestroy", "roles", "sequential_deployment", "web_public_dns"],
    });
    /// What can be changed of an application.
    ApplicationChanges = json!({
        "type": "object",
        "description": "What shall be different. Members that are null count as not given.",
        "properties": {
            "target_num_containers": count(0),
            "autorestart": policy("Whether a container that ends is started again, at most 3 times a minute."),
            "autoreplace": policy("Whether it is replaced by another one, at most 3 times in 5 minutes."),
            "autodestroy": policy("Whether it is destroyed."),
            "web_public_dns": host(),
        },
        "examples": [{"target_num_containers": 3}],
        "x-order": ["target_num_containers", "autorestart", "autoreplace", "autodestroy", "web_public_dns"],
    });
    /// What to redeploy.
    Redeployment = json!({
        "type": "object",
        "properties": {
            "tag": {"type": ["string", "null"], "pattern": TAG, "description": "Another tag of the image; the same one without it."},
        },
        "examples": [{"tag": "1.1"}],
    });
    /// What register takes.
    Registration = json!({
        "type": "object", "required": ["username", "password1", "password2", "email"],
        "properties": {
            "username": {
                "type": "string", "minLength": 1, "maxLength": USERNAME_MAX, "pattern": "^[A-Za-z0-9@.+_-]+$",
                "description": "How the account logs in.",
            },
            "password1": {"type": "string", "minLength": 1, "pattern": ANY_TEXT, "description": "Any text."},
            "password2": {"type": "string", "minLength": 1, "pattern": ANY_TEXT, "description": "The same again."},
            "email": {"type": "string", "maxLength": 254, "pattern": "^[a-z0-9.+-]+@[a-z0-9]{1,20}(\\.[a-z0-9]{1,20})+$"},
        },
        "examples": [{
            "username": "bob", "password1": "correct horse", "password2": "correct horse", "email": "bob@example.com",
        }],
        "x-order": ["username", "password1", "password2", "email"],
    });
}

fn new_application() -> Value {
    json!({
        "image": {
            "type": ["string", "null"], "pattern": IMAGE,
            "description": "A reference like `registry.example.com/team/app:1.0`, or the URI of an image.",
        },
        "image_tag": {
            "type": ["string", "null"], "pattern": ANY_TEXT,
            "description": "The same. Where both are given `image` wins, and this is not looked at.",
        },
        "name": {
            "type": ["string", "null"], "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$", "maxLength": GROUP_NAME_MAX,
            "description": "The image's last part without it. It need not be unique.",
        },
        "target_num_containers": count(1),
        "container_size": {
            "type": ["string", "null"], "enum": ["XS", "S", "M", "L", "XL", null],
            "description": "Memory and CPU weight of each container; `XS` without it.",
        },
        "run_command": {
            "type": ["string", "null"], "pattern": COMMAND,
            "description": "Replaces the image's command. It is split as a shell would, and not run by one.",
        },
        "entrypoint": {
            "type": ["string", "null"], "pattern": COMMAND, "description": "Replaces the image's entry point, likewise.",
        },
        "container_ports": ports(),
        "container_envvars": variables(),
        "linked_to_application": links(),
        "autorestart": policy("Whether a container that ends is started again, at most 3 times a minute."),
        "autoreplace": policy("Whether it is replaced by another one, at most 3 times in 5 minutes."),
        "autodestroy": policy("Whether it is destroyed."),
        "roles": {
            "type": ["array", "null"], "items": {"type": "string", "enum": ["/api/v1/role/global/", "global"]},
            "description": "Roles that containers get a credential for, in the variable `TUTUM_AUTH`.",
        },
        "sequential_deployment": {
            "type": ["boolean", "null"],
            "description": "Whether containers are deployed one after another, each linked to those before it.",
        },
        "web_public_dns": host(),
    })
}

fn count(least: u32) -> Value {
    json!({
        "type": ["integer", "null"], "minimum": least, "maximum": GROUP_COUNT_MAX,
        "description": "How many containers there should be.",
    })
}

fn policy(sentence: &str) -> Value {
    json!({"type": ["string", "null"], "enum": ["OFF", "ON_FAILURE", "ALWAYS", null], "description": sentence})
}

fn host() -> Value {
    json!({
        "type": ["string", "null"], "pattern": HOST, "maxLength": 253,
        "description": "A host name of one's own at which the application answers by HTTP.",
    })
}

fn ports() -> Value {
    json!({
        "type": ["array", "null"],
        "description": "Ports that containers listen on; those that the image exposes without it. An `outer_port` can be one \
                        container's only; others are chosen.",
        "items": {
            "type": "object", "required": ["inner_port"],
            "properties": {
                "protocol": {"type": ["string", "null"], "enum": ["tcp", "udp", null]},
                "inner_port": {"type": "integer", "minimum": 1, "maximum": u16::MAX},
                "outer_port": {"type": ["integer", "null"], "minimum": 1, "maximum": u16::MAX},
            },
        },
    })
}

fn variables() -> Value {
    json!({
        "type": ["array", "null"],
        "description": "Environment of the containers. Of a key that is given twice the last value counts.",
        "items": {
            "type": "object", "required": ["key", "value"],
            "properties": {
                "key": {"type": "string", "pattern": ENV_NAME}, "value": {"type": "string", "pattern": ANY_TEXT},
            },
        },
    })
}

fn links() -> Value {
    json!({
        "type": ["array", "null"],
        "description": "Applications whose addresses the containers find in their environment: URIs, or objects with a name \
                        that the variables begin with.",
        "items": {"anyOf": [
            {"type": "string", "minLength": 1, "pattern": ANY_TEXT},
            {
                "type": "object", "required": ["to_application"],
                "properties": {
                    "to_application": {"type": "string", "minLength": 1, "pattern": ANY_TEXT},
                    "name": {"type": ["string", "null"], "pattern": "^[A-Za-z_]", "maxLength": GROUP_NAME_MAX},
                },
            },
        ]},
    })
}
