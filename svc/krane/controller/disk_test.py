"""What becomes of an instance that uses more than its bound of disk."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.controller.instance import FAILED, STARTING, Instance
from svc.krane.controller.probes import ProbeResult
from svc.krane.runtime.port import EventKind, InstanceEvent, InstanceStatus, Observation

MIB = 1 << 20
OK = ProbeResult(True, "GET / answered 200")
RUNNING = Observation(
    name="dep-a-0",
    uid="c1",
    deployment_id="dep_a",
    replica=0,
    status=InstanceStatus.RUNNING,
    address="10.0.0.2",
    started_at_ms=1000,
)
TOO_MUCH = InstanceEvent(EventKind.DISK_EXCEEDED, "dep_a", "dep-a-0", uid="c1", used_bytes=65 * MIB)
ENDED = InstanceEvent(EventKind.ENDED, "dep_a", "dep-a-0", exit_code=137)
REASON = "the app used 65 MiB of its own disk, more than [run] disk_mib = 64, and was ended"


def running(*, is_healthy: bool, now_s: float = 0.0, uid: str = "c1") -> Instance:
    instance = Instance("dep_a", 0)
    start(instance, now_s, uid, is_healthy=is_healthy)
    return instance


def start(instance: Instance, now_s: float, uid: str, *, is_healthy: bool) -> None:
    instance.observed(replace(RUNNING, uid=uid), now_s)
    if is_healthy:
        instance.probed(OK, 0.0)


@given(st.integers(0, 1 << 41), st.integers(16, 1 << 20))
def test_more_than_the_bound_ends_and_the_bound_itself_does_not(used_bytes: int, disk_mib: int) -> None:
    """Promise: an instance is ended only for more than its bound, and the reported numbers say so."""
    instance = running(is_healthy=True)
    is_over = instance.disk_exceeded(replace(TOO_MUCH, used_bytes=used_bytes), disk_mib, 7)
    assert is_over == (used_bytes > disk_mib * MIB)
    if instance.overfull is not None:
        assert int(instance.overfull.reason.split()[3]) > disk_mib


def test_what_another_instance_used_is_no_matter() -> None:
    """Promise: an instance that was made again is not ended for what the one before it used."""
    instance = running(is_healthy=True, uid="c2")
    assert not instance.disk_exceeded(TOO_MUCH, 64, 7)
    assert not Instance("dep_a", 0).disk_exceeded(TOO_MUCH, 64, 7)


def test_it_is_said_once() -> None:
    """Promise: an instance that is being ended, or has failed, is not ended once more."""
    instance = running(is_healthy=True)
    assert instance.disk_exceeded(TOO_MUCH, 64, 7)
    assert not instance.disk_exceeded(TOO_MUCH, 64, 8)
    instance = running(is_healthy=False)
    instance.failure = "exited"
    assert not instance.disk_exceeded(TOO_MUCH, 64, 7)


def test_one_that_was_never_healthy_has_failed() -> None:
    """Promise: a start that fills the disk fails at once, with a code of its own and the last output."""
    instance = running(is_healthy=False)
    instance.disk_exceeded(TOO_MUCH, 64, 7)
    assert instance.overfull is not None
    instance.overfull.output = ["copying"]
    instance.ended_for_disk(1.0)
    assert instance.verdict() == (FAILED, f"{REASON} before it was healthy")
    report = instance.report(8)
    assert (report.code, list(report.log_tail)) == ("instance.disk_exceeded", ["copying"])


def test_one_that_was_healthy_starts_again_and_its_last_end_is_told() -> None:
    """Promise: what serves is made again; the reported end is ours, not the signal that carried it out."""
    instance = running(is_healthy=True)
    instance.disk_exceeded(TOO_MUCH, 64, 7)
    instance.noticed(ENDED, 8)
    instance.ended_for_disk(1.0)
    instance.noticed(ENDED, 9)
    assert instance.verdict() == (STARTING, f"{REASON}; it is being made again from its image")
    last_exit = instance.report(10).last_exit
    assert (last_exit.reason, last_exit.at, last_exit.HasField("exit_code")) == (REASON, 7, False)


def test_who_fills_it_again_and_again_waits_longer() -> None:
    """Promise: an app that fills the disk in seconds does not do so all the time; one that took long starts at once."""
    instance, now_s, waits = Instance("dep_a", 0), 0.0, []
    for turn, lived_s in enumerate([5.0] * 11 + [600.0]):
        start(instance, now_s, f"c{turn}", is_healthy=True)
        now_s += lived_s
        instance.disk_exceeded(replace(TOO_MUCH, uid=f"c{turn}"), 64, 7)
        instance.ended_for_disk(now_s)
        waits.append(instance.held_until - now_s)
        now_s = instance.held_until
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 1]
