"""The shape of --json."""

import json

from sealift.cli.format.message_json import message_to_dict
from sealift.ctrl.v1 import deployment_pb2

PAST_53_BITS_NEVER = 1_795_252_196_852


def test_the_shape_does_not_depend_on_what_is_set() -> None:
    """Promise: all keys are present; absent values are null."""
    empty, full = deployment_pb2.Deployment(), deployment_pb2.Deployment(deployment_id="dep_1")
    full.error.code = "build.x"
    full.git_commit.commit_sha = "abc"
    assert (
        message_to_dict(empty).keys()
        == message_to_dict(full).keys()
        == {field.name for field in full.DESCRIPTOR.fields}
    )
    assert message_to_dict(empty)["error"] is None
    assert message_to_dict(empty)["status"] is None
    assert message_to_dict(empty)["hostnames"] == []
    assert message_to_dict(empty)["is_live"] is False


def test_words_and_numbers() -> None:
    """Promise: enums are the names of the other output, times are numbers, all is valid JSON."""
    deployment = deployment_pb2.Deployment(
        status=deployment_pb2.DEPLOYMENT_STATUS_READY,
        run_state=deployment_pb2.RUN_STATE_STANDBY,
        created_at=PAST_53_BITS_NEVER,
    )
    deployment.instances.add(state=deployment_pb2.INSTANCE_STATE_HEALTHY)
    deployment.steps.add(name="queued", started_at=5)
    shown = json.loads(json.dumps(message_to_dict(deployment)))
    assert (shown["status"], shown["run_state"], shown["created_at"]) == ("ready", "standby", PAST_53_BITS_NEVER)
    assert shown["instances"][0]["state"] == "healthy"
    assert (shown["steps"][0]["name"], shown["steps"][0]["started_at"]) == ("queued", 5)


def test_a_newer_server() -> None:
    """Promise: a value that this program does not know is shown as its number."""
    number = deployment_pb2.Deployment.DESCRIPTOR.fields_by_name["status"].number
    deployment = deployment_pb2.Deployment.FromString(bytes([number << 3, 99]))
    assert message_to_dict(deployment)["status"] == 99
