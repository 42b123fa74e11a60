"""Promise: zero instances is never ready, and a failure says why."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pkg.regions.health import DeploymentHealth, Health, InstanceState, health_of, worst
from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence


def _instance(state: str, region: str = "local", replica: int = 0, reason: str = "") -> InstanceRow:
    return InstanceRow(region, "dep_a", replica, "x", state, reason, None, [], "", "", 0, "", 1)


def test_nothing_is_never_healthy() -> None:
    assert health_of([], 1, [], {}).health is Health.WAITING
    assert health_of(["local"], 1, [], {}).health is Health.WAITING


@given(st.lists(st.sampled_from(sorted(InstanceState)), max_size=4), st.integers(1, 3))
def test_healthy_means_enough_healthy_and_none_failed(states: list[InstanceState], replicas: int) -> None:
    verdict = health_of(["local"], replicas, [_instance(s, replica=n) for n, s in enumerate(states)], {})
    if verdict.health is Health.HEALTHY:
        assert states.count(InstanceState.HEALTHY) >= replicas
        assert InstanceState.FAILED not in states


def test_every_region_counts() -> None:
    seen = [_instance("healthy", "eu"), _instance("starting", "us")]
    verdict = health_of(["eu", "us"], 1, seen, {})
    assert verdict.health is Health.WAITING
    assert "region us" in verdict.reason


def test_a_failed_instance_fails_the_deployment_with_its_reason() -> None:
    verdict = health_of(
        ["local"], 2, [_instance("healthy"), _instance("failed", replica=1, reason="exited with code 3")], {}
    )
    assert verdict.health is Health.FAILED
    assert "code 3" in verdict.reason


def test_what_an_instance_waits_for_is_told() -> None:
    """Promise: a start that the engine keeps refusing is explained by the engine's reason, not by silence."""
    verdict = health_of(
        ["local"], 1, [_instance("starting", reason="the engine could not start the container: disk full")], {}
    )
    assert "disk full" in verdict.reason


def test_what_a_silent_region_said_last_is_not_what_is_so() -> None:
    """Promise: an unknown state is never reported as healthy; a failed one stays failed."""
    krane = {"local": Silence(1, "krane of region local does not report", is_probed=False)}
    verdict = health_of(["local"], 1, [_instance("healthy")], krane)
    assert (verdict.health, verdict.code) == (Health.UNKNOWN, "instance.region_silent")
    assert "krane of region local does not report" in verdict.reason
    assert health_of(["local"], 1, [_instance("failed")], krane).health is Health.FAILED
    assert health_of(["eu"], 1, [_instance("healthy", "eu")], krane).health is Health.HEALTHY


def test_an_engine_that_is_away_explains_what_is_missing() -> None:
    """Promise: krane probes on without its engine, so what answers is healthy; what does not start says why."""
    engine = {"local": Silence(1, "the engine of region local does not answer", is_probed=True)}
    assert health_of(["local"], 1, [_instance("healthy")], engine).health is Health.HEALTHY
    verdict = health_of(["local"], 1, [_instance("starting")], engine)
    assert (verdict.health, verdict.code) == (Health.UNKNOWN, "instance.region_silent")
    assert "the engine of region local does not answer" in verdict.reason


@given(st.lists(st.sampled_from(list(Health)), max_size=4))
def test_all_parts_of_a_deployment_have_to_be_healthy(parts: list[Health]) -> None:
    """Promise: it is healthy when web and every process are; a failed part fails it, whatever the others are."""
    found = worst([DeploymentHealth(part, reason=part) for part in parts])
    assert (found.health is Health.HEALTHY) == (set(parts) <= {Health.HEALTHY})
    assert (found.health is Health.FAILED) == (Health.FAILED in parts)
    if found.health is not Health.HEALTHY:
        assert found.reason == found.health


def test_instances_of_a_process_do_not_count_for_another() -> None:
    """Promise: each process has its own number, and what is missing names it."""
    seen = [_instance("healthy"), replace(_instance("failed", reason="exited with code 3"), process="worker")]
    assert health_of(["local"], 1, seen, {}).health is Health.HEALTHY
    failed = health_of(["local"], 1, seen, {}, "worker")
    assert (failed.health, failed.reason) == (Health.FAILED, "process worker: exited with code 3")
    missing = health_of(["local"], 1, seen, {}, "clock")
    assert missing.reason == "process clock: 0 of 1 instances are healthy in region local"
