"""What is kept of an app's output is shown: by status in short, by logs in full."""

from sealift.cli.format.deployment_text import app_output, deployment_text
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb


def test_a_restarting_instance_tells_its_last_end() -> None:
    """Promise: status shows exit code, reason and last lines of a restarted app, without escapes."""
    end = pb.InstanceExit(
        exit_code=7, reason="the app exited with code 7", at=1, output=["a"] * 9 + ["KeyError\x1b[31m: x"]
    )
    instance = pb.Instance(region="local", replica=0, restarts=2, state=pb.INSTANCE_STATE_HEALTHY, last_exit=end)
    found = pb.Deployment(deployment_id="dep_1", instances=[instance])
    text = deployment_text(found)
    assert "ago: the app exited with code 7" in text
    assert "KeyError" in text
    assert "\x1b" not in text
    assert "sealift logs dep_1" in text
    assert [len(lines) for _, lines in app_output(found)] == [10]


def test_the_output_of_a_failed_start_stays_readable() -> None:
    """Promise: the deployment keeps the last lines after the instance is gone."""
    found = pb.Deployment(deployment_id="dep_1", last_output=["one", "two"])
    assert list(app_output(found)) == [("before its start failed", ["one", "two"])]


def test_the_bounds_and_the_present_number_are_shown() -> None:
    """Promise: status shows between which numbers the instances are scaled, and how many there are in each region."""
    states = [pb.INSTANCE_STATE_HEALTHY, pb.INSTANCE_STATE_STARTING, pb.INSTANCE_STATE_STOPPED]
    found = pb.Deployment(
        settings=common_pb2.RuntimeSettings(replicas=2, min_replicas=2, max_replicas=8, target_cpu_percent=70),
        instances=[pb.Instance(region="local", replica=n, state=state) for n, state in enumerate(states)],
        notices=["region local: the cluster has no metrics"],
    )
    text = deployment_text(found)
    assert "replicas    2 to 8 at 70% CPU; local: 2 now\n" in text
    assert "notice      region local: the cluster has no metrics" in text
    fixed = pb.Deployment(settings=common_pb2.RuntimeSettings(replicas=2), replicas=2)
    assert "replicas" not in deployment_text(fixed)
    fixed.replicas = 5
    assert "replicas    5, as the environment was scaled" in deployment_text(fixed)
