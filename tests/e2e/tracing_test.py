"""Promise: with a receiver set, one trace follows a deploy through every part; without one, nothing of it is loaded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.stack import Stack
from tests.harness.traces import Receiver, Span
from tests.harness.wait import eventually

SERVICES = ("api", "worker", "krane")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as one:
        yield one


def test_one_trace_follows_a_deploy(receiver: Receiver, engine_socket: str, tmp_path: Path) -> None:
    """CLI, api, worker and krane report into the trace that the CLI began, each span below what caused it."""
    with Stack(engine_socket, toml=f'[tracing]\nendpoint = "{receiver.url}"\n') as stack:
        assert stack.sealift("projects", "create", "traced").code == 0
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        done = stack.sealift("deploy", str(apps.app(tmp_path / "app")), "--project", "traced", "--json", env=env)
        assert done.code == 0, done.err
        root = eventually(
            lambda: next((s for s in receiver.spans if s.name == "sealift deploy"), None), what="the root"
        )
        # services export once a second
        eventually(
            lambda: {"krane.apply_routes", "deploy.ready"} <= {s.name for s in receiver.spans if s.trace == root.trace},
            what="the last spans of the trace",
        )
    # down: every service has sent what was left
    trace = [span for span in receiver.spans if span.trace == root.trace]
    assert {span.service for span in trace} == {"sealift-cli", *(f"sealift-{name}" for name in SERVICES)}
    assert all(span.instance for span in trace if span.service != "sealift-cli")
    assert root.parent == ""
    by_id = {span.id: span for span in trace}
    assert [span.name for span in trace if span.parent not in by_id and span is not root and span.id != root.id] == []

    assert _causes(trace, by_id, "store.put") == ["upload", "sealift deploy"]
    assert _causes(trace, by_id, "dispatch") == ["DeploymentService/CreateDeployment", "sealift deploy"]
    assert _causes(trace, by_id, "deploy.open")[0] == "dispatch"
    assert _causes(trace, by_id, "store.check")[0] == "build.check archive"
    assert _causes(trace, by_id, "builder.solve")[:2] == ["build.attempt", "dispatch"]
    for step in ("build.begin", "deploy.place", "deploy.ready", "routing.assign", "slot.census"):
        assert _causes(trace, by_id, step)[0] == "dispatch"
    for work in ("krane.start_instance", "krane.apply_routes"):
        assert _causes(trace, by_id, work)[0] == "DeploymentService/CreateDeployment"
    assert _causes(trace, by_id, "ClusterService/ReportApplied")[0] == "krane.apply_routes"

    ident = done.last_json["deployment_id"]
    assert {s.attributes["deployment_id"] for s in trace if s.name.startswith("krane.")} == {ident}
    began = min(span.began_ns for span in trace)
    assert root.began_ns == began
    assert all(span.ended_ns >= span.began_ns for span in trace)
    texts = " ".join(value for span in trace for value in span.attributes.values())
    assert "sig=" not in texts
    assert "slk_" not in texts


def test_without_a_receiver_nothing_of_it_is_loaded(
    engine_socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off means off: not one OpenTelemetry module in any process, however far a deploy goes."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # Python then names every module it imports on standard error
    with Stack(engine_socket) as stack:
        assert stack.sealift("projects", "create", "untraced").code == 0
        done = stack.deploy(apps.app(tmp_path / "app"), "untraced")
        assert done.code == 0, done.err
        logged = {name: (stack.state / "logs" / f"{name}.log").read_text(errors="replace") for name in SERVICES}
        logged["supervisor"] = stack.state.with_suffix(".log").read_text(errors="replace")
        logged["cli"] = done.err
    for name, text in logged.items():
        imported = [line.rpartition("|")[2].strip() for line in text.splitlines() if line.startswith("import time:")]
        assert len(imported) > 50, f"{name} did not say what it imports"
        assert [module for module in imported if module.startswith("opentelemetry")] == [], name


def _causes(trace: list[Span], by_id: dict[str, Span], name: str) -> list[str]:
    """The names of the spans above the first one of this name, nearest first."""
    found = [span for span in trace if span.name == name]
    assert found, f"no span {name}; there are {sorted({span.name for span in trace})}"
    above, span = [], found[0]
    while span.parent:
        span = by_id[span.parent]
        above.append(span.name)
    return above
