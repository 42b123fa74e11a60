"""krane as a whole, on a real engine: what it promises the api, the ingress and the user."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from pkg.observability.tracing import Span, Tracing
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.run import Timing
from svc.krane.testing import engine
from svc.krane.testing.lab import SERVE, Lab, name_of, open_lab

STARTING = deployment_pb2.INSTANCE_STATE_STARTING
HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
UNHEALTHY = deployment_pb2.INSTANCE_STATE_UNHEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    client = engine.client()
    yield client
    client.close()


def containers(client: docker.APIClient, lab: Lab) -> set[str]:
    """Names of everything with the lab's installation label."""
    found = client.containers(all=True, filters={"label": f"sealift.installation={lab.installation_id}"})
    return {one["Names"][0].lstrip("/") for one in found}


async def eventually(condition: Callable[[], Any], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.02)


async def test_a_topology_becomes_a_healthy_instance_with_all_limits(lab: Lab, client: docker.APIClient) -> None:
    # Promise: what is wanted runs, isolated and bounded, and the ingress and the api know it.
    await lab.start_krane()
    topology = lab.topology(variables={"GREETING": "hi", "PORT": "1", "SEALIFT_REGION": "mine"})
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert report.image_id == lab.image_id
    assert report.last_probe == "GET / answered 200"
    assert [e.port for e in lab.ingress.healthy(topology.deployment_id)] == [8080]

    await eventually(
        lambda: client.inspect_container(name_of(topology))["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    )
    raw = client.inspect_container(name_of(topology))
    host, environment = raw["HostConfig"], raw["Config"]["Env"]
    assert host["Memory"] == host["MemorySwap"] == 64 * 1024 * 1024
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.5
    assert host["PidsLimit"] == 512
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["Privileged"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert "GREETING=hi" in environment
    assert "PORT=8080" in environment, "the platform's variables win"
    assert f"SEALIFT_REGION={lab.config().region}" in environment
    assert f"SEALIFT_DEPLOYMENT_ID={topology.deployment_id}" in environment
    network = client.inspect_network(lab.network)
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert network["Labels"]["sealift.installation"] == lab.installation_id


async def test_replicas_start_together_and_surplus_ones_leave(lab: Lab, client: docker.APIClient) -> None:
    # Promise: the count of instances follows the topology both ways.
    await lab.start_krane()
    topology = lab.topology(replicas=2)
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology, 0), HEALTHY)
    await lab.cluster.until_state(name_of(topology, 1), HEALTHY)
    first = client.inspect_container(name_of(topology, 0))["Id"]
    topology.settings.replicas = 1
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology, 1), STOPPED)
    assert containers(client, lab) == {name_of(topology, 0)}
    assert client.inspect_container(name_of(topology, 0))["Id"] == first, "the remaining one was not touched"
    assert len(lab.ingress.endpoints[topology.deployment_id]) == 1


async def test_a_restarted_krane_adopts_what_runs(lab: Lab, client: docker.APIClient) -> None:
    # Promise: nothing is deployed twice, and the api never sees a healthy instance flicker.
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    before = client.inspect_container(name_of(topology))
    await lab.stop_krane()
    seen = len(lab.cluster.reports)
    await lab.start_krane()
    await lab.cluster.until(lambda: any(report.complete for report in lab.cluster.reports[seen:]))
    after = client.inspect_container(name_of(topology))
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    states = {one.state for report in lab.cluster.reports[seen:] for one in report.instances}
    assert states == {HEALTHY}
    await eventually(lambda: lab.ingress.is_ready)
    assert lab.ingress.healthy(topology.deployment_id)
    assert lab.cluster.watches[-1].after_version == lab.cluster.version, "the cursor was kept, no snapshot needed"


async def test_only_orphans_with_exactly_our_labels_are_removed(lab: Lab, client: docker.APIClient) -> None:
    # Promise: deleting touches only what carries our labels: installation and region, both exactly.
    def make(name: str, labels: dict[str, str]) -> str:
        made = client.create_container(
            lab.image_id, command=["python3", "-c", "import time; time.sleep(600)"], name=name, labels=labels
        )
        client.start(made["Id"])
        return name

    base = {"sealift.installation": lab.installation_id, "sealift.deployment": "dep_x", "sealift.replica": "0"}
    suffix = lab.installation_id[-8:]
    orphan = make(f"dep-x-{suffix}-0", {**base, "sealift.region": "test"})
    elsewhere = make(f"dep-x-{suffix}-1", {**base, "sealift.region": "test2"})
    no_region = make(f"dep-x-{suffix}-2", base)
    await lab.start_krane()
    await eventually(lambda: orphan not in containers(client, lab))
    assert containers(client, lab) == {elsewhere, no_region}


async def test_an_app_that_exits_at_once_fails_with_code_and_log(lab: Lab, client: docker.APIClient) -> None:
    # Promise: a failed start says why: exit code and the last lines, printable; no restart loop during a deploy.
    await lab.start_krane()
    script = r"import sys; print('no database'); sys.stdout.buffer.write(b'\x1b[31m\xff\x00bin\n'); sys.exit(3)"
    topology = lab.topology(script)
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert report.reason == "the app exited with code 3 before it was healthy"
    assert report.exit_code == 3
    assert list(report.log_tail) == ["no database", "\\x1b[31m\N{REPLACEMENT CHARACTER}\\x00bin"]
    assert client.inspect_container(name_of(topology))["RestartCount"] == 0
    await lab.cluster.remove(topology.deployment_id)
    await lab.cluster.until_state(name_of(topology), STOPPED)
    assert containers(client, lab) == set()


async def test_a_restarted_krane_repeats_the_verdict_on_a_failed_start(lab: Lab) -> None:
    # Promise: the reason survives krane; the failed container is not started again.
    await lab.start_krane()
    topology = lab.topology("import sys; print('bad config'); sys.exit(9)")
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), FAILED)
    await lab.stop_krane()
    lab.cluster.instances.clear()
    await lab.start_krane()
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert (report.exit_code, list(report.log_tail)) == (9, ["bad config"])


async def test_the_port_that_is_listened_on_instead_is_named(lab: Lab) -> None:
    # Promise: an app on another port fails with that port in the reason.
    if not os.access("/proc/1/net/tcp", os.R_OK) or os.geteuid() != 0:
        pytest.skip("needs to see the host's processes")
    await lab.start_krane()
    check = {"path": "/", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": 2}
    wrong = lab.topology(health_check=check, variables={"LISTEN": "3000"})
    local = lab.topology(SERVE.replace('("", int', '("127.0.0.1", int'), health_check=check)
    await lab.cluster.put(wrong)
    await lab.cluster.put(local)
    report = await lab.cluster.until_state(name_of(wrong), FAILED)
    assert "connection refused on port 8080" in report.reason
    assert "listens on port 3000 instead" in report.reason
    report = await lab.cluster.until_state(name_of(local), FAILED)
    assert "listens on 127.0.0.1 only" in report.reason


async def test_an_app_that_answers_errors_runs_into_its_start_timeout(lab: Lab) -> None:
    # Promise: never healthy in time is a failed start, with the last answer as reason.
    await lab.start_krane()
    check = {"path": "/up", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": 4}
    topology = lab.topology(health_check=check, variables={"ANSWER": "503"})
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert report.reason == "not healthy within 4 s: GET /up answered 503; 200 to 399 would be healthy"
    assert report.last_probe.startswith("GET /up answered 503;")


async def test_a_slow_start_within_its_limit_is_fine(lab: Lab) -> None:
    # Promise: an app may take its time (40 s of 120 s in life, scaled down here) and is STARTING meanwhile.
    await lab.start_krane()
    topology = lab.topology(variables={"START_S": "3"})
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), STARTING)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    states = [one.state for report in lab.cluster.reports for one in report.instances]
    assert FAILED not in states


async def test_running_out_of_memory_is_named(lab: Lab) -> None:
    # Promise: an OOM kill is the reason given, with the limit; "perhaps" if the engine missed the kernel's notice.
    await lab.start_krane()
    topology = lab.topology("x = bytearray(512 * 1024 * 1024)\nimport time; time.sleep(60)")
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert "ran out of memory (limit: memory_mib = 64)" in report.reason
    assert report.exit_code == 137


async def test_a_missing_image_fails_at_once(lab: Lab) -> None:
    # Promise: an image that is gone from the engine is said so, with the next step.
    await lab.start_krane()
    topology = lab.topology()
    topology.image_ref = "engine:sha256:" + "0" * 64
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert "is no longer on the engine" in report.reason
    assert "deploy again" in report.reason


async def test_an_image_that_cannot_be_pulled_says_why(lab: Lab) -> None:
    # Promise: a reference that is not here is pulled, and a registry that does not answer is named.
    await lab.start_krane()
    topology = lab.topology()
    topology.image_ref = "127.0.0.1:9/nobody/nothing:1"
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert "registry 127.0.0.1:9 cannot be reached" in report.reason


async def test_a_command_that_is_not_in_the_image_fails_at_once(lab: Lab) -> None:
    # Promise: a container that cannot start is a failed start, not an endless retry.
    await lab.start_krane()
    topology = lab.topology()
    del topology.settings.command.values[:]
    topology.settings.command.values.append("/no/such/program")
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert "'/no/such/program' is not in the image" in report.reason


async def test_a_name_taken_by_a_stranger_is_left_alone(lab: Lab, client: docker.APIClient) -> None:
    # Promise: a container of someone else is neither adopted nor removed.
    await lab.start_krane()
    topology = lab.topology()
    made = client.create_container(lab.image_id, command=["true"], name=name_of(topology))
    try:
        await lab.cluster.put(topology)
        report = await lab.cluster.until_state(name_of(topology), FAILED)
        assert "is taken by a container that is not this instance" in report.reason
        await lab.cluster.remove(topology.deployment_id)
        await lab.cluster.until_state(name_of(topology), STOPPED)
        assert client.inspect_container(made["Id"])
    finally:
        client.remove_container(made["Id"], force=True)


async def test_the_stored_snapshot_serves_and_heals_while_the_api_is_away(lab: Lab, client: docker.APIClient) -> None:
    # Promise: with the control plane away krane starts, serves the routes it knew, and brings back what is missing.
    await lab.start_krane()
    topology = lab.topology(variables={"SECRET": "s3cr3t-value"})
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    version = await lab.cluster.route("app.example", topology.deployment_id)
    await lab.cluster.until(lambda: any(one.version >= version for one in lab.cluster.applied))
    await lab.stop_krane()
    stored = lab.folder / "krane" / "desired.snapshot"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert b"s3cr3t-value" not in stored.read_bytes()

    await lab.cluster.stop()
    client.remove_container(name_of(topology), force=True)
    await lab.start_krane()
    await eventually(lambda: lab.ingress.is_ready)
    assert lab.ingress.routes == {"app.example": topology.deployment_id}
    await eventually(lambda: lab.ingress.healthy(topology.deployment_id))
    assert containers(client, lab) == {name_of(topology)}


async def test_without_the_api_nothing_is_deleted_for_being_unknown(lab: Lab, client: docker.APIClient) -> None:
    # Promise: a stored snapshot may be behind; only the api's word makes an instance an orphan.
    await lab.start_krane()
    old = lab.topology()
    await lab.cluster.put(old)
    await lab.cluster.until_state(name_of(old), HEALTHY)
    await lab.stop_krane()
    stored = lab.folder / "krane" / "desired.snapshot"
    behind = stored.read_bytes()
    await lab.start_krane()
    new = lab.topology()
    await lab.cluster.put(new)
    await lab.cluster.until_state(name_of(new), HEALTHY)
    await lab.stop_krane()
    await lab.cluster.stop()
    stored.write_bytes(behind)
    await lab.start_krane()
    await eventually(lambda: lab.ingress.is_ready)
    await eventually(lambda: lab.ingress.healthy(old.deployment_id))
    assert containers(client, lab) == {name_of(old), name_of(new)}
    seen = len(lab.cluster.reports)
    await lab.cluster.start()
    await lab.cluster.until(lambda: len(lab.cluster.reports) > seen)
    assert containers(client, lab) == {name_of(old), name_of(new)}


async def test_reports_are_repeated_until_the_api_takes_them(lab: Lab) -> None:
    # Promise: a verdict is never lost because the api was away for a moment.
    lab.cluster.refuse_reports = 3
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert lab.cluster.refuse_reports == 0


async def test_a_stop_waits_until_the_ingress_lets_go(lab: Lab, client: docker.APIClient) -> None:
    # Promise: krane never stops an instance that its ingress still lists, however often it is told to.
    await lab.start_krane()
    old, new = lab.topology(), lab.topology()
    for topology in (old, new):
        await lab.cluster.put(topology)
        await lab.cluster.until_state(name_of(topology), HEALTHY)
    version = await lab.cluster.route("app.example", old.deployment_id)
    await lab.cluster.until(lambda: any(one.version >= version for one in lab.cluster.applied))

    lab.ingress.is_held = True
    version = await lab.cluster.route("app.example", new.deployment_id)
    await lab.cluster.remove(old.deployment_id)
    marker = lab.topology("raise SystemExit(1)")  # other work goes on meanwhile
    await lab.cluster.put(marker)
    await lab.cluster.until_state(name_of(marker), FAILED)
    assert client.inspect_container(name_of(old))["State"]["Running"]
    assert not [one for one in lab.cluster.applied if one.version >= version]

    lab.ingress.release()
    await lab.cluster.until(lambda: any(one.version >= version for one in lab.cluster.applied))
    await lab.cluster.until_state(name_of(old), STOPPED)
    assert client.inspect_container(name_of(new))["State"]["Running"]
    assert old.deployment_id in lab.ingress.removed


async def test_what_was_healthy_is_restarted_and_heals(lab: Lab, client: docker.APIClient) -> None:
    # Promise: a crash after going live is unhealthy, not failed; the engine restarts it, krane sees it healthy again.
    await lab.start_krane()
    script = SERVE.replace("def do_GET(self):", "def do_GET(self):\n        self.path == '/die' and os._exit(7)")
    topology = lab.topology(script)
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    await eventually(
        lambda: client.inspect_container(name_of(topology))["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    )
    endpoint = lab.ingress.healthy(topology.deployment_id)[0]
    reader, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
    writer.write(b"GET /die HTTP/1.0\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    report = await lab.cluster.until_state(name_of(topology), UNHEALTHY)
    # While the engine restarts it, its address may answer nothing at all.
    told = ("exited with code 7", "cannot be reached", "refused", "no connection within")
    assert any(words in report.reason for words in told)
    report = await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert report.restarts == 1


async def test_a_container_removed_by_hand_comes_back(lab: Lab, client: docker.APIClient) -> None:
    # Promise: drift is corrected at once, by the engine's events.
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    first = client.inspect_container(name_of(topology))["Id"]
    client.remove_container(first, force=True)

    def is_back() -> bool:
        try:
            return bool(client.inspect_container(name_of(topology))["Id"] != first)
        except docker.errors.NotFound:
            return False

    await eventually(is_back)
    await eventually(lambda: lab.ingress.healthy(topology.deployment_id))


async def test_a_cancelled_start_leaves_nothing(lab: Lab, client: docker.APIClient) -> None:
    # Promise: a topology that goes while its container is being made takes the container with it.
    await lab.start_krane()
    await eventually(lambda: lab.cluster.watches)
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.remove(topology.deployment_id)
    await lab.cluster.until(lambda: lab.cluster.instances.get(name_of(topology)) is not None, 5) if containers(
        client, lab
    ) else None
    await eventually(lambda: containers(client, lab) == set())


async def test_presence_is_kept(lab: Lab) -> None:
    # Promise: the api knows the region, its engine, and that krane lives.
    await lab.start_krane()
    await lab.cluster.until(lambda: lab.cluster.heartbeats >= 1)
    last = lab.cluster.registrations[-1]
    assert (last.region, last.runtime, last.instance_id) == ("test", "docker", "inst_test")
    assert last.engine.startswith("Docker ")


async def test_a_start_is_a_span_of_the_deploys_trace(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    # Promise: the trace of a deploy goes on in krane, from creation to the first verdict, failure included.
    class Spans(Tracing):
        enabled = True

        def __init__(self) -> None:
            self.ended: list[tuple[str, str | None, dict[str, object], list[str]]] = []

        @contextlib.contextmanager
        def span(self, name: str, traceparent: str | None = None, **attributes: object) -> Iterator[Span]:
            failures: list[str] = []

            class Recorded:
                def set(self, **_: object) -> None:
                    pass

                def fail(self, message: str) -> None:
                    failures.append(message)

            yield Recorded()
            self.ended.append((name, traceparent, attributes, failures))

    spans = Spans()
    monkeypatch.setattr("svc.krane.run.tracing.current", lambda: spans)
    await lab.start_krane()
    topology = lab.topology("raise SystemExit(4)")
    topology.traceparent = f"00-{'1' * 32}-{'2' * 16}-01"
    await lab.cluster.put(topology)
    await eventually(lambda: spans.ended)
    name, parent, attributes, failures = spans.ended[0]
    assert (name, parent) == ("krane.start_instance", topology.traceparent)
    assert attributes["deployment_id"] == topology.deployment_id
    assert "exited with code 4" in failures[0]


async def test_a_stopped_deployment_wakes_again(lab: Lab, client: docker.APIClient) -> None:
    # Promise: stop keeps nothing running; wake brings the same deployment back.
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    topology.stopped = True
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), STOPPED)
    assert containers(client, lab) == set()
    # and costs nothing from then on, however many there were
    await eventually(lambda: f"reconcile {topology.deployment_id}" not in {t.get_name() for t in asyncio.all_tasks()})
    topology.stopped = False
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert lab.ingress.healthy(topology.deployment_id)


async def test_a_pull_that_hangs_can_be_taken_back(lab: Lab) -> None:
    # Promise: a registry that does not answer holds up neither the cancel nor other deployments.
    hung = asyncio.Event()

    open_connections: list[asyncio.StreamWriter] = []

    def registry(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.append(writer)
        hung.set()

    server = await asyncio.start_server(registry, "127.0.0.1", 0)
    async with server:
        await lab.start_krane()
        topology, other = lab.topology(), lab.topology()
        topology.image_ref = f"127.0.0.1:{server.sockets[0].getsockname()[1]}/some/image:1"
        await lab.cluster.put(topology)
        await asyncio.wait_for(hung.wait(), 20)
        report = await lab.cluster.until_state(name_of(topology), STARTING)
        await lab.cluster.until(lambda: "pulling image" in lab.cluster.instances[name_of(topology)].reason)
        assert report.deployment_id == topology.deployment_id
        await lab.cluster.put(other)
        await lab.cluster.until_state(name_of(other), HEALTHY)
        await lab.cluster.remove(topology.deployment_id)
        await lab.cluster.until_state(name_of(topology), STOPPED, 5)
        for writer in open_connections:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_what_is_routed_is_made_anew_after_a_failure(lab: Lab, client: docker.APIClient) -> None:
    # Promise: krane does not give up on what serves; during a deploy (not routed yet) the verdict stands.
    lab.timing = Timing(stop_grace_s=1, retry_s=(0.2, 0.5))
    await lab.start_krane()
    routed, fresh = lab.topology("raise SystemExit(1)"), lab.topology("raise SystemExit(1)")
    await lab.cluster.route("app.example", routed.deployment_id)
    ids: dict[str, str] = {}
    for topology in (routed, fresh):
        await lab.cluster.put(topology)
        await lab.cluster.until_state(name_of(topology), FAILED)
        ids[name_of(topology)] = client.inspect_container(name_of(topology))["Id"]

    def current(name: str) -> str:
        try:
            return str(client.inspect_container(name)["Id"])
        except docker.errors.NotFound:
            return ids[name]

    await eventually(lambda: current(name_of(routed)) != ids[name_of(routed)])
    assert current(name_of(fresh)) == ids[name_of(fresh)]
