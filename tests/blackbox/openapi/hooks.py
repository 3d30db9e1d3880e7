"""What schemathesis is led to, so that it meets things that exist, breaks nothing it still needs, and ends in time.

Only requests of unit phases are led somewhere: the stateful phase follows what it made itself.
"""

import os
from collections import Counter

import schemathesis

# Deployed and running; deployed and scaled to nothing; never deployed.
RUNNING, IDLE, NEW = "hello", "idle", "new"
# One to be destroyed and one to be given away.
SPARE = {"DELETE /v1/apps/{app}": "spare-to-destroy", "POST /v1/apps/{app}": "spare-to-give"}
# Where requests go whose success starts containers, once that many have been let through to the running app.
COSTLY = {
    "POST /v1/apps/{app}/config": IDLE,
    "POST /v1/apps/{app}/releases/rollback": IDLE,
    "POST /v1/apps/{app}/run": NEW,
    "POST /v1/apps/{app}/scale": NEW,
    "POST /v1/apps/{app}/containers/restart": IDLE,
    "POST /v1/apps/{app}/containers/{type}/restart": IDLE,
    "POST /v1/apps/{app}/containers/{type}/{num}/restart": IDLE,
}
LIMIT = 4
LOCAL_IMAGE = os.environ["SLIPWAY_IMAGE"]
# Refuses connections at once: nothing may be pulled from elsewhere.
NO_IMAGE = "localhost:1/nowhere:1"
# An application that runs, and its container. Nothing ends them, so that they are there for every request.
APPLICATION, CONTAINER = os.environ.get("SLIPWAY_APPLICATION"), os.environ.get("SLIPWAY_CONTAINER")
ENDS = ("DELETE", "stop/", "redeploy/")
CREDENTIALS = {"username": "owner", "password": os.environ["SLIPWAY_PASSWORD"]}

seen = Counter()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """schemathesis 4.32 turns `prefixItems` of answers into something that it then refuses itself."""
    for schema in raw_schema["components"]["schemas"].values():
        if "prefixItems" in schema:
            schema["items"] = {"anyOf": schema.pop("prefixItems")}


@schemathesis.hook
def before_call(context, case, kwargs):
    label, meta = case.operation.label, case.meta
    # Whoever follows a log is answered for as long as the app lives.
    if isinstance(case.query, dict) and case.query.get("follow") in (True, "true", "1", 1):
        case.query["follow"] = "false"
    if meta is None:
        return
    is_valid = meta.generation.mode.is_positive
    if "/api/v1/" in label:
        lead_at_tutum(case, label, is_valid)
        return
    if is_valid and isinstance(case.body, dict):
        if case.media_type == "multipart/form-data":
            # It writes control characters into the headers of parts, where RFC 7578 has them encoded.
            case.body = {name: value for name, value in case.body.items() if name.isascii() and name.isprintable()}
        if label.endswith("/log-drains") and "url" in case.body:
            # Nothing that was made up is looked up or connected to: this address is nobody's (RFC 5737).
            case.body["url"] = f"syslog://192.0.2.1:{len(str(case.body['url'])) + 1}"
        if "image" in case.body:
            case.body["image"] = LOCAL_IMAGE if is_within_limit(f"image of {label}") else NO_IMAGE
        if label.startswith("POST /v1/hooks/"):
            case.body.update(receive_user="owner", receive_repo=RUNNING)
    if meta.phase.name == "stateful":
        return
    if label in SPARE and case.path_parameters.get("app") in (RUNNING, IDLE, NEW):
        case.path_parameters["app"] = SPARE[label]
    elif label in COSTLY and case.path_parameters.get("app") == RUNNING and is_valid:
        if not is_within_limit(label):
            case.path_parameters["app"] = COSTLY[label]
        elif label.endswith("/scale"):
            case.body = {"cmd": seen[label] % 2 + 1}
    elif label == "POST /v1/auth/login" and is_valid:
        case.body = dict(CREDENTIALS)
    if "uuid" in case.path_parameters and is_valid and is_within_limit(f"uuid of {label}"):
        case.path_parameters["uuid"] = os.environ["SLIPWAY_BUILD"]


def lead_at_tutum(case, label, is_valid):
    if not is_valid:
        return
    if label == "POST /api/v1/application/" and isinstance(case.body, dict):
        # One container at most, of an image that is there or of one that is quickly known not to be.
        case.body.pop("image_tag", None)
        case.body["image"] = LOCAL_IMAGE if is_within_limit(label) else NO_IMAGE
        case.body["target_num_containers"] = 1
        for member in ("linked_to_application", "container_ports", "web_public_dns"):
            case.body.pop(member, None)
    if label == "PATCH /api/v1/application/{uuid}/" and isinstance(case.body, dict):
        case.body.pop("web_public_dns", None)
        if case.body.get("target_num_containers") is not None:
            case.body["target_num_containers"] = 1
    if "uuid" in case.path_parameters and not any(word in label for word in ENDS) and case.meta.phase.name != "stateful":
        case.path_parameters["uuid"] = CONTAINER if "/container/" in label else APPLICATION


def is_within_limit(what):
    seen[what] += 1
    return seen[what] <= LIMIT
