"""What a Pod says as values of the port."""

from typing import Any

import msgspec
import pytest

from svc.krane.runtime.kubernetes import pods
from svc.krane.runtime.kubernetes.pods import PodHistory
from svc.krane.runtime.kubernetes.wire import Pod
from svc.krane.runtime.port import UNKNOWN_BYTES, EventKind, InstanceStatus
from svc.krane.testing.pods import BACK_OFF, OWN, RUNNING, ended, pod


def seen(one: Pod, history: PodHistory | None = None) -> Any:
    return pods.observation(one, (history or PodHistory()).with_state(one, 1.0))


def test_one_that_runs() -> None:
    """Promise: a Pod is the instance of its name, with the address at which it is reached."""
    found = seen(pod(RUNNING, restarts=2))
    assert (found.name, found.deployment_id, found.replica) == ("dep-1-0", "dep_1", 0)
    assert (found.status, found.address, found.revision) == (InstanceStatus.RUNNING, "10.1.1.1", "1-a")
    assert (found.memory_mib, found.image_id) == (64, "sha256:1")
    assert seen(pod(RUNNING, restarts=3)).started_at_ms > found.started_at_ms


@pytest.mark.parametrize("now", [ended(7), {**BACK_OFF}, RUNNING], ids=["ended", "waits", "runs again"])
def test_a_failed_start_is_its_first_end(now: Any) -> None:
    """Promise: one that was never healthy stays ended, as it ended first, although the kubelet starts it again."""
    first = PodHistory().with_state(pod(ended(7)), 1.0)
    found = seen(pod(now, last=ended(9, at="2026-11-28T12:00:09Z") if now is RUNNING else ended(7), restarts=1), first)
    assert (found.status, found.exit_code, found.restarts) == (InstanceStatus.EXITED, 7, 0)
    assert found.address == ""


def test_what_was_healthy_is_being_restarted() -> None:
    """Promise: the end of one that was healthy is no verdict: it comes back."""
    assert seen(pod(ended(3), is_healthy=True)).status is InstanceStatus.RESTARTING
    assert seen(pod(BACK_OFF, last=ended(3), is_healthy=True)).status is InstanceStatus.RESTARTING
    again = seen(pod(RUNNING, last=ended(3), is_healthy=True, restarts=1))
    assert (again.status, again.restarts, again.is_kept_running) == (InstanceStatus.RUNNING, 1, True)


def test_out_of_memory() -> None:
    """Promise: the reason of a kill is the kubelet's word."""
    found = seen(pod(ended(137, "OOMKilled")))
    assert (found.out_of_memory, found.exit_code) == (True, 137)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (ended(137), "its Pod was deleted; the app did not end within 10 s and was killed (exit code 137)"),
        (ended(143), "its Pod was deleted, and the app ended (exit code 143)"),
        (ended(137, "OOMKilled"), ""),
    ],
    ids=["killed", "ends", "memory"],
)
def test_the_end_of_an_app_whose_pod_was_deleted(end: Any, words: str) -> None:
    """Promise: the deletion of a Pod is named as the cause, not memory, unless the kubelet says memory."""
    before = pod(RUNNING, is_healthy=True)
    metadata = msgspec.structs.replace(
        before.metadata, deletion_timestamp="2026-11-28T12:00:00Z", deletion_grace_period_seconds=10
    )
    now = msgspec.structs.replace(pod(end, is_healthy=True), metadata=metadata)
    event = next(one for one in pods.events(before, now) if one.kind is EventKind.ENDED)
    assert event.reason == words
    still = next(one for one in pods.events(before, pod(end, is_healthy=True)) if one.kind is EventKind.ENDED)
    assert still.reason == ""


def test_what_is_not_there() -> None:
    """Promise: one that is being removed takes no requests, and one without a node is nowhere yet."""
    here = pod(RUNNING)
    ending = msgspec.structs.replace(here.metadata, deletion_timestamp="2026-11-28T12:00:00Z")
    assert seen(msgspec.structs.replace(here, metadata=ending)) is None
    assert seen(msgspec.structs.replace(here, spec=msgspec.structs.replace(here.spec, node_name=""))) is None


def test_a_command_that_can_not_be_executed_has_not_run() -> None:
    """Promise: the failed try to start a command is no end of the app."""
    assert seen(pod(ended(128, "StartError"))).status is InstanceStatus.CREATED
    assert next(pods.events(pod(), pod(ended(128, "StartError")))).kind is EventKind.CHANGED


def test_each_end_is_told_once() -> None:
    """Promise: an end is an event with its exit code, and one only; a kubelet that forgets it tells nothing new."""
    up, down = pod(RUNNING, is_healthy=True), pod(ended(3), is_healthy=True)
    again = pod(RUNNING, last=ended(3), is_healthy=True, restarts=1)
    assert [(one.kind, one.exit_code) for one in pods.events(up, down)] == [(EventKind.ENDED, 3)]
    assert [one.kind for one in pods.events(down, again)] == [EventKind.CHANGED]
    assert [one.kind for one in pods.events(up, pod(ended(137, "OOMKilled")))] == [
        EventKind.OUT_OF_MEMORY,
        EventKind.ENDED,
    ]
    assert list(pods.events(again, again)) == []
    older = pod(RUNNING, last=ended(3, at="2026-11-28T11:00:00Z"), is_healthy=True, restarts=1)
    assert [one.kind for one in pods.events(again, older)] == [EventKind.CHANGED]


def test_too_much_disk() -> None:
    """Promise: one that its node ended for what it wrote is told so, once; other evictions are not."""
    said = "Container app exceeded its local ephemeral storage limit "
    full = pod(ended(137), phase="Failed", reason="Evicted", message=said)
    told = list(pods.events(pod(RUNNING), full))
    assert (told[0].kind, told[0].uid, told[0].used_bytes) == (EventKind.DISK_EXCEEDED, "u", UNKNOWN_BYTES)
    assert EventKind.DISK_EXCEEDED not in [one.kind for one in pods.events(full, full)]
    other = pod(ended(137), phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert [one.kind for one in pods.events(pod(RUNNING), other)] == [EventKind.ENDED]


def test_copies_are_no_instances() -> None:
    """Promise: a Pod with our labels under another name, or in another namespace, is left alone."""
    here = pod(RUNNING)
    assert pods.is_instance(here, OWN)
    for change in ({"name": "debugger"}, {"name": "dep-2-0"}, {"name": "dep-1-x"}, {"namespace": "default"}):
        other = msgspec.structs.replace(here, metadata=msgspec.structs.replace(here.metadata, **change))
        assert not pods.is_instance(other, OWN)


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("64Mi", 64 << 20),
        ("1Gi", 1 << 30),
        ("1500k", 1_500_000),
        ("128", 128),
        ("0.5Gi", 1 << 29),
        ("lots", 0),
        ("", 0),
    ],
)
def test_quantities(quantity: str, amount: int) -> None:
    """Promise: a quantity is read however the server writes it; what is none is 0."""
    assert pods.bytes_of(quantity) == amount


def test_the_words_of_a_registry_outlive_the_back_off() -> None:
    """Promise: why an image could not be pulled is known while the kubelet only says that it waits."""
    said = PodHistory().with_state(pod({"waiting": {"reason": "ErrImagePull", "message": "denied"}}), 1.0)
    later = said.with_state(pod({"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off "x"'}}), 2.0)
    assert (later.pull_error, later.failed_pulls) == ("denied", 1)


@pytest.mark.parametrize(
    ("reason", "message", "is_disk"),
    [
        ("Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 16Mi. ", True),
        ("Evicted", 'Container app exceeded its local ephemeral storage limit "16Mi". ', True),
        (
            "Evicted",
            "The node was low on resource: ephemeral-storage. Container app was using 8Ki, which exceeds its request "
            "of 0. ",
            False,
        ),
        ("Evicted", "The node had condition: [DiskPressure]. ", False),
        ("NodeShutdown", "Node is shutting down", False),
        ("OutOfcpu", "Pod Node didn't have enough resource: cpu", False),
    ],
)
def test_what_a_node_ended(reason: str, message: str, is_disk: bool) -> None:
    """Promise: an app that passed its own bound is told apart from one that its node gave up for reasons of its own."""
    ended_by_node = pod(phase="Failed", reason=reason, message=message)
    assert pods.is_evicted_for_disk(ended_by_node) is is_disk
    assert pods.was_given_up(ended_by_node) is not is_disk
    assert (pods.observation(ended_by_node, pods.PodHistory()) is None) is not is_disk
