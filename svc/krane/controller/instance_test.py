"""Verdicts on instances."""

from dataclasses import replace

import pytest

from svc.krane.controller.instance import (
    FAILED,
    HEALTHY,
    STARTING,
    UNHEALTHY,
    Instance,
    exit_reason,
    start_timeout_reason,
)
from svc.krane.controller.probes import ProbeResult
from svc.krane.runtime.port import InstanceStatus, Observation

OK = ProbeResult(True, "GET / answered 200")
BAD = ProbeResult(False, "GET / answered 500")
REFUSED = ProbeResult(False, "connection refused on port 8080", is_refused=True)
RUNNING = Observation(
    name="dep-a-0",
    uid="c1",
    deployment_id="dep_a",
    replica=0,
    status=InstanceStatus.RUNNING,
    address="10.0.0.2",
    started_at_ms=1000,
    image_id="sha256:1",
    memory_mib=64,
)
EXITED = replace(RUNNING, status=InstanceStatus.EXITED, exit_code=2, address="")


def running() -> Instance:
    instance = Instance("dep_a", 0)
    instance.observed(RUNNING, 0.0)
    return instance


def healthy() -> Instance:
    instance = running()
    instance.probed(OK, 0.0)
    return instance


def test_the_way_to_healthy() -> None:
    # Promise: only a probe makes an instance healthy.
    instance = Instance("dep_a", 0)
    assert instance.verdict()[0] == STARTING
    instance.observed(RUNNING, 0.0)
    assert instance.verdict()[0] == STARTING
    instance.probed(BAD, 0.0)
    assert instance.verdict() == (STARTING, "GET / answered 500")
    instance.probed(OK, 0.0)
    assert instance.verdict() == (HEALTHY, "")


def test_one_failed_probe_is_no_verdict_three_are() -> None:
    # Promise: a single lost answer takes no instance out of the ingress.
    instance = healthy()
    instance.probed(BAD, 0.0)
    instance.probed(BAD, 0.0)
    assert instance.verdict()[0] == HEALTHY
    instance.probed(BAD, 0.0)
    assert instance.verdict() == (UNHEALTHY, "GET / answered 500")
    instance.probed(OK, 0.0)
    assert instance.verdict()[0] == HEALTHY


def test_a_probe_that_was_not_made_changes_nothing() -> None:
    # Promise: what krane lacks itself (file descriptors, ports) takes no app out of the ingress.
    unasked = ProbeResult(False, "port 8080 could not be probed: Too many open files", is_unasked=True)
    instance = healthy()
    for _ in range(10):
        instance.probed(unasked, 0.0)
    assert instance.verdict()[0] == HEALTHY
    waiting = running()
    waiting.probed(unasked, 0.0)
    assert waiting.verdict() == (STARTING, unasked.text)
    assert not waiting.first_probe.is_set()
    # nor does it excuse: failures before and after it count
    for result in (BAD, unasked, BAD, unasked, BAD):
        instance.probed(result, 0.0)
    assert instance.verdict()[0] == UNHEALTHY
    instance.probed(unasked, 0.0)
    assert instance.verdict()[0] == UNHEALTHY


def test_an_exit_before_healthy_is_final() -> None:
    # Promise: FAILED stays FAILED, with the first reason.
    instance = running()
    instance.observed(EXITED, 0.0)
    assert instance.verdict() == (FAILED, "the app exited with code 2 before it was healthy")
    instance.observed(replace(EXITED, exit_code=9), 0.0)
    assert "code 2" in instance.verdict()[1]
    report = instance.report(5)
    assert report.instance_id == "dep-a-0"
    assert report.exit_code == 9


def test_an_exit_after_healthy_is_a_restart() -> None:
    # Promise: what was live is restarted, and counts as healthy only after a probe of the new start.
    instance = healthy()
    instance.observed(replace(EXITED, status=InstanceStatus.RESTARTING, is_kept_running=True), 0.0)
    assert instance.verdict()[0] == UNHEALTHY
    instance.observed(replace(RUNNING, started_at_ms=2000, is_kept_running=True, restarts=1), 0.0)
    assert instance.verdict()[0] == UNHEALTHY
    instance.probed(OK, 0.0)
    assert instance.verdict()[0] == HEALTHY
    assert instance.report(1).restarts == 1


def test_health_of_another_instance_proves_nothing() -> None:
    # Promise: another instance starts from nothing.
    instance = healthy()
    instance.observed(replace(RUNNING, uid="c2", started_at_ms=3000), 0.0)
    assert instance.verdict()[0] == STARTING
    instance.observed(replace(EXITED, uid="c2"), 0.0)
    assert instance.verdict()[0] == FAILED


def test_an_adopted_instance_that_was_healthy_is_never_failed_by_a_probe() -> None:
    # Promise: the engine's restart policy remembers across restarts of krane that it was healthy once.
    instance = Instance("dep_a", 0)
    instance.observed(replace(RUNNING, is_kept_running=True), 0.0)
    for _ in range(9):
        instance.probed(BAD, 0.0)
    assert instance.verdict()[0] == UNHEALTHY


def test_a_restart_of_krane_takes_nothing_out_of_the_ingress() -> None:
    # Promise: what an earlier krane found healthy is served at once, and one lost answer changes nothing.
    instance = Instance("dep_a", 0)
    instance.observed(replace(RUNNING, is_kept_running=True), 0.0)
    assert instance.verdict() == (HEALTHY, "")
    instance.probed(BAD, 0.0)
    instance.observed(replace(RUNNING, is_kept_running=True), 0.0)
    instance.probed(BAD, 0.0)
    assert instance.verdict()[0] == HEALTHY
    instance.probed(BAD, 0.0)
    assert instance.verdict()[0] == UNHEALTHY


def test_an_adopted_instance_counts_only_if_it_was_healthy_and_runs() -> None:
    # Promise: an earlier krane's start is no health, and a dead process is not served.
    instance = Instance("dep_a", 0)
    instance.observed(RUNNING, 0.0)
    assert instance.verdict()[0] == STARTING
    instance = Instance("dep_a", 0)
    instance.observed(replace(EXITED, status=InstanceStatus.RESTARTING, is_kept_running=True), 0.0)
    assert instance.verdict()[0] == UNHEALTHY
    instance.observed(replace(RUNNING, started_at_ms=2000, is_kept_running=True), 0.0)
    assert instance.verdict()[0] == UNHEALTHY


def refusing(instance: Instance, since_s: float) -> None:
    instance.probed(REFUSED, since_s)


def test_only_who_served_and_refuses_all_the_time_is_replaced() -> None:
    """Promise: a start that is slow, an app that answers badly and one that comes back in time are left alone."""
    never = running()
    refusing(never, 0.0)
    assert not never.refuses_for_good(1e9)
    instance = healthy()
    instance.probed(BAD, 0.0)
    assert not instance.refuses_for_good(1e9)
    refusing(instance, 10.0)
    refusing(instance, 60.0)
    assert not instance.refuses_for_good(69.9)
    assert instance.refuses_for_good(70.0)
    instance.probed(OK, 70.0)
    assert not instance.refuses_for_good(1e9)
    refusing(instance, 100.0)
    instance.observed(replace(EXITED, status=InstanceStatus.RESTARTING, is_kept_running=True), 200.0)
    assert not instance.refuses_for_good(1e9)


def test_who_refuses_again_and_again_is_replaced_more_and_more_seldom() -> None:
    """Promise: the wait doubles from a minute to 15, and begins small after an instance that lived for ten minutes."""
    instance, now_s, waits = Instance("dep_a", 0), 0.0, []
    for turn, lived_s in enumerate([1.0] * 6 + [600.0, 1.0]):
        instance.observed(replace(RUNNING, uid=f"c{turn}"), now_s)
        instance.probed(OK, now_s)
        now_s += lived_s
        refusing(instance, now_s)
        waits.append(next(s for s in range(1000) if instance.refuses_for_good(now_s + s)))
        now_s += waits[-1]
        instance.replaced_for_refusing(now_s)
        assert instance.verdict()[0] == STARTING
    assert waits == [60, 120, 240, 480, 900, 900, 900, 120]


def test_presence_of_the_exit_code() -> None:
    # Promise: an exit code is reported only for a process that ended.
    assert not running().report(1).HasField("exit_code")
    instance = running()
    instance.observed(EXITED, 0.0)
    assert instance.report(1).HasField("exit_code")


def test_a_long_reason_is_cut() -> None:
    # Promise: the proto's bound of 1024 characters holds.
    instance = Instance("dep_a", 0)
    instance.failure = "x" * 5000
    assert len(instance.report(1).reason) == 1024


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(EXITED, exit_code=137, out_of_memory=True), "ran out of memory (limit: memory_mib = 64)"),
        (
            replace(EXITED, exit_code=137),
            "signal 9 (exit code 137); perhaps it ran out of memory (limit: memory_mib = 64)",
        ),
        (replace(EXITED, exit_code=143), "ended by signal 15"),
        (replace(EXITED, exit_code=192), "ended by signal 64"),
        (replace(EXITED, exit_code=255), "exited with code 255"),
        (replace(EXITED, exit_code=0), "exited with code 0"),
    ],
)
def test_exits_are_explained(seen: Observation, words: str) -> None:
    # Promise: the cause is named.
    assert words in exit_reason(seen)


def test_ports_are_no_topic_when_something_answered() -> None:
    # Promise: no misleading hint.
    assert start_timeout_reason(5, BAD, "the app listens on port 1") == "not healthy within 5 s: GET / answered 500"
    assert start_timeout_reason(5, REFUSED, "").endswith("connection refused on port 8080")
    assert start_timeout_reason(5, REFUSED, "said").endswith("connection refused on port 8080; said")
