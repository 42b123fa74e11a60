"""Starts that fail, hang, are cancelled or repeated, on a real engine: what the user sees, what stays."""

import asyncio
import base64
import contextlib
import os
import socket
import time
from collections.abc import Iterator

import aiohttp
import docker
import docker.errors
import pytest

from pkg.observability.tracing import Span, Tracing
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.run import Timing
from svc.krane.runtime.docker import container_spec
from svc.krane.testing import engine
from svc.krane.testing.harness import SERVE, KraneHarness, containers, eventually, name_of

STARTING = deployment_pb2.INSTANCE_STATE_STARTING
HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


async def test_an_app_that_exits_at_once_fails_with_code_and_log(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    # Promise: a failed start says why: exit code and the last lines, printable; no restart loop during a deploy.
    await harness.start_krane()
    script = r"import sys; print('no database'); sys.stdout.buffer.write(b'\x1b[31m\xff\x00bin\n'); sys.exit(3)"
    topology = harness.topology(script)
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert report.reason == "the app exited with code 3 before it was healthy"
    assert report.exit_code == 3
    assert list(report.log_tail) == ["no database", "\N{REPLACEMENT CHARACTER}\\x00bin"]
    assert client.inspect_container(name_of(topology))["RestartCount"] == 0
    await harness.cluster.remove(topology.deployment_id)
    await harness.cluster.until_state(name_of(topology), STOPPED)
    assert containers(client, harness) == set()


async def test_a_restarted_krane_repeats_the_verdict_on_a_failed_start(harness: KraneHarness) -> None:
    # Promise: the reason survives krane; the failed container is not started again.
    await harness.start_krane()
    topology = harness.topology("import sys; print('bad config'); sys.exit(9)")
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), FAILED)
    await harness.stop_krane()
    harness.cluster.instances.clear()
    await harness.start_krane()
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert (report.exit_code, list(report.log_tail)) == (9, ["bad config"])


async def test_the_port_that_is_listened_on_instead_is_named(harness: KraneHarness) -> None:
    # Promise: an app on another port fails with that port in the reason.
    if not os.access("/proc/1/net/tcp", os.R_OK) or os.geteuid() != 0:
        pytest.skip("needs to see the host's processes")
    await harness.start_krane()
    check = {"path": "/", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": 2}
    wrong = harness.topology(health_check=check, variables={"LISTEN": "3000"})
    local = harness.topology(SERVE.replace('("", int', '("127.0.0.1", int'), health_check=check)
    await harness.cluster.put(wrong)
    await harness.cluster.put(local)
    report = await harness.cluster.until_state(name_of(wrong), FAILED)
    assert "connection refused on port 8080" in report.reason
    assert "listens on port 3000 instead" in report.reason
    report = await harness.cluster.until_state(name_of(local), FAILED)
    assert "listens on 127.0.0.1 only" in report.reason


async def test_an_app_that_answers_errors_runs_into_its_start_timeout(harness: KraneHarness) -> None:
    # Promise: never healthy in time is a failed start, with the last answer as reason, and the app's own last words,
    # which the lines that our probes left in its access log do not push out.
    await harness.start_krane()
    check = {"path": "/up", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": 4}
    topology = harness.topology(f"print('no database')\n{SERVE}", health_check=check, variables={"ANSWER": "503"})
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert list(report.log_tail) == ["no database"]
    assert report.reason == "not healthy within 4 s: GET /up answered 503; 200 to 399 would be healthy"
    assert report.code == "instance.not_healthy"
    assert report.last_probe.startswith("GET /up answered 503;")


async def test_a_slow_start_within_its_limit_is_fine(harness: KraneHarness) -> None:
    # Promise: an app may take its time (40 s of 120 s in life, scaled down here) and is STARTING meanwhile.
    await harness.start_krane()
    topology = harness.topology(variables={"START_S": "3"})
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), STARTING)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    states = [one.state for report in harness.cluster.reports for one in report.instances]
    assert FAILED not in states


async def test_running_out_of_memory_is_named(harness: KraneHarness) -> None:
    # Promise: an OOM kill is the reason given, with the limit; "perhaps" if the engine missed the kernel's notice.
    await harness.start_krane()
    topology = harness.topology("x = bytearray(512 * 1024 * 1024)\nimport time; time.sleep(60)")
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert "ran out of memory (limit: memory_mib = 64)" in report.reason
    assert report.exit_code == 137


async def test_a_missing_image_fails_at_once(harness: KraneHarness) -> None:
    # Promise: an image that is gone from the engine is said so, with the next step.
    await harness.start_krane()
    topology = harness.topology()
    topology.image_ref = "engine:sha256:" + "0" * 64
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert "is no longer on the engine" in report.reason
    assert "deploy again" in report.reason


async def test_an_image_that_cannot_be_pulled_says_why(harness: KraneHarness) -> None:
    # Promise: a reference that is not here is pulled, and a registry that does not answer is named.
    await harness.start_krane()
    check = {"path": "/", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": 1}
    topology = harness.topology(health_check=check)
    topology.image_ref = "127.0.0.1:9/nobody/nothing:1"
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert "registry 127.0.0.1:9 cannot be reached" in report.reason


async def test_a_command_that_is_not_in_the_image_fails_at_once(harness: KraneHarness) -> None:
    # Promise: a container that cannot start is a failed start, not an endless retry.
    await harness.start_krane()
    topology = harness.topology()
    del topology.settings.command.values[:]
    topology.settings.command.values.append("/no/such/program")
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert "'/no/such/program' is not in the image" in report.reason


async def test_a_name_taken_by_a_stranger_is_left_alone(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: a container of someone else is neither adopted nor removed.
    await harness.start_krane()
    topology = harness.topology()
    made = client.create_container(harness.image_id, command=["true"], name=name_of(topology))
    try:
        await harness.cluster.put(topology)
        report = await harness.cluster.until_state(name_of(topology), FAILED)
        assert "is taken by a container that is not this instance" in report.reason
        await harness.cluster.remove(topology.deployment_id)
        await harness.cluster.until_state(name_of(topology), STOPPED)
        assert client.inspect_container(made["Id"])
    finally:
        client.remove_container(made["Id"], force=True)


async def test_a_cancelled_start_leaves_nothing(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: a topology that goes while its container is being made takes the container with it.
    await harness.start_krane()
    await eventually(lambda: harness.cluster.watches)
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.remove(topology.deployment_id)
    await harness.cluster.until(lambda: harness.cluster.instances.get(name_of(topology)) is not None, 5) if containers(
        client, harness
    ) else None
    await eventually(lambda: containers(client, harness) == set())


async def test_a_start_is_a_span_of_the_deploys_trace(harness: KraneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    # Promise: the trace of a deploy continues in krane, from creation to the first verdict, failure included.
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
    await harness.start_krane()
    topology = harness.topology("raise SystemExit(4)")
    topology.traceparent = f"00-{'1' * 32}-{'2' * 16}-01"
    await harness.cluster.put(topology)
    await eventually(lambda: spans.ended)
    name, parent, attributes, failures = spans.ended[0]
    assert (name, parent) == ("krane.start_instance", topology.traceparent)
    assert attributes["deployment_id"] == topology.deployment_id
    assert "exited with code 4" in failures[0]


async def test_a_pull_that_hangs_can_be_taken_back(harness: KraneHarness) -> None:
    # Promise: a registry that does not answer holds up neither the cancel nor other deployments.
    with socket.create_server(("127.0.0.1", 0)) as registry:
        registry.setblocking(False)
        await harness.start_krane()
        topology, other = harness.topology(), harness.topology()
        topology.image_ref = f"127.0.0.1:{registry.getsockname()[1]}/some/image:1"
        await harness.cluster.put(topology)
        connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(registry), WAIT_S)
        with connection:
            report = await harness.cluster.until_state(name_of(topology), STARTING)
            await harness.cluster.until(lambda: "pulling image" in harness.cluster.instances[name_of(topology)].reason)
            assert report.deployment_id == topology.deployment_id
            await harness.cluster.put(other)
            await harness.cluster.until_state(name_of(other), HEALTHY)
            await harness.cluster.remove(topology.deployment_id)
            await harness.cluster.until_state(name_of(topology), STOPPED, 5)


async def test_what_is_routed_is_made_anew_after_a_failure(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: krane does not give up on what serves; during a deploy (not routed yet) the verdict stands.
    harness.timing = Timing(stop_grace_s=1, retry_s=(0.2, 0.5))
    await harness.start_krane()
    routed, fresh = harness.topology("raise SystemExit(1)"), harness.topology("raise SystemExit(1)")
    await harness.cluster.route("app.example", routed.deployment_id)
    ids: dict[str, str] = {}
    for topology in (routed, fresh):
        await harness.cluster.put(topology)
        await harness.cluster.until_state(name_of(topology), FAILED)
        ids[name_of(topology)] = client.inspect_container(name_of(topology))["Id"]

    def current(name: str) -> str:
        try:
            return str(client.inspect_container(name)["Id"])
        except docker.errors.NotFound:
            return ids[name]

    await eventually(lambda: current(name_of(routed)) != ids[name_of(routed)])
    assert current(name_of(fresh)) == ids[name_of(fresh)]


@pytest.mark.parametrize(
    ("lines", "command", "said", "code"),
    [
        (["USER nosuch"], ["true"], "USER 'nosuch' does not exist in the image", "user_not_found"),
        (["USER 0:nosuch"], ["true"], "the group 'nosuch' of USER does not exist in the image", "user_not_found"),
        (
            ["WORKDIR /there", "RUN cd / && rmdir /there && touch /there"],
            ["true"],
            "its WORKDIR can't be used",
            "bad_workdir",
        ),
        (["ENTRYPOINT []", "CMD []"], [], "the image has neither CMD nor ENTRYPOINT", "no_command"),
        ([], ["/etc/passwd"], "'/etc/passwd' may not be executed", "command_denied"),
        ([], ["nosuchprogram", "--flag"], "'nosuchprogram' is not in the image", "command_not_found"),
        (
            ["RUN printf '#!/bin/sh\\r\\nexec sleep 60\\r\\n' >/run.sh && chmod +x /run.sh"],
            ["/run.sh"],
            "or it is a script with Windows line ends",
            "command_not_found",
        ),
    ],
)
async def test_what_no_retry_heals_fails_at_once(
    harness: KraneHarness, client: docker.APIClient, lines: list[str], command: list[str], said: str, code: str
) -> None:
    # Promise: a permanent refusal of the engine is a failed start at once, with its cause, long before the timeout.
    await harness.start_krane()
    check = {"path": "/", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": 600}
    topology = harness.topology(health_check=check)
    topology.image_ref = f"engine:{engine.derived_image(client, harness.image_id, lines, harness.installation_id)}"
    topology.settings.command.values[:] = command
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED, 15)
    assert said in report.reason
    assert report.code == f"instance.{code}"


ORPHANS = """
import http.server, os, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        subprocess.run(["sh", "-c", "sleep 0.01 & true"], check=True)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def test_orphans_of_an_app_do_not_fill_its_processes(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: an app that leaves an orphan at every request answers the thousandth like the first: an init reaps them.
    await harness.start_krane()
    topology = harness.topology(ORPHANS)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    networks = client.inspect_container(name_of(topology))["NetworkSettings"]["Networks"]
    address = networks[harness.engine_network]["IPAddress"]
    async with aiohttp.ClientSession() as session:
        for _ in range(container_spec.PIDS_LIMIT + 100):
            async with session.get(f"http://{address}:8080/") as answer:
                assert answer.status == 200


INIT = """#!/usr/bin/python3
import os, sys
if os.getpid() != 1:
    sys.exit("s6-overlay-suexec: fatal: can only run as pid 1")
os.execvp("python3", ["python3", "-u", "-c", os.environ["SERVE"]])
"""


@pytest.mark.parametrize("path", ["/init", "/entrypoint"])
async def test_an_image_with_an_init_of_its_own_has_it_as_process_one(
    harness: KraneHarness, client: docker.APIClient, path: str
) -> None:
    # Promise: what insists on being process 1 is that, known by its name or, behind a script, by its own complaint.
    await harness.start_krane()
    topology = harness.topology(variables={"SERVE": SERVE})
    lines = [f"COPY file {path}"]
    image = engine.derived_image(client, harness.image_id, lines, harness.installation_id, INIT.encode())
    topology.image_ref = f"engine:{image}"
    topology.settings.command.values[:] = [path]
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert not client.inspect_container(name_of(topology))["HostConfig"]["Init"]


async def test_a_jump_of_the_clock_decides_nothing(harness: KraneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    # Promise: the start timeout is counted by a clock that nobody sets: an hour ahead fails no start.
    real = time.time_ns
    await harness.start_krane()
    topology = harness.topology(variables={"START_S": "2"})
    await harness.cluster.put(topology)
    seen = harness.cluster.instances
    await harness.cluster.until(lambda: name_of(topology) in seen and seen[name_of(topology)].last_probe)
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    states = [one.state for report in harness.cluster.reports for one in report.instances]
    assert FAILED not in states


async def test_no_value_of_a_variable_is_shown_with_a_failed_start(harness: KraneHarness) -> None:
    # Promise: what an app prints of its variables, in whatever form, is masked in its lines and the reason; those that
    # are plain are not, but for what a sealed one says as well.
    await harness.start_krane()
    url = "postgres://shop:s3cr3t/pa55@db.internal/shop"
    script = """
import base64, json, os, sys, textwrap
url = os.environ["DB_URL"]
print("connecting to", url)
print("password was", url.split(":")[2].split("@")[0], file=sys.stderr)
print(json.dumps({"url": url}), repr(url))
print("\\x1b[31m" + url[:9] + "\\x1b[0m" + url[9:])
print(textwrap.fill(base64.b64encode(b"x" * 7 + url.encode()).decode(), 20))
print(os.environ["KEY"])
print("public at", os.environ["PUBLIC_URL"], "and", os.environ["ALSO"])
print("listening in", os.environ["MODE"], "mode on", os.environ["LISTEN"])
sys.exit(9)
"""
    variables = {"DB_URL": url, "KEY": "-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----", "MODE": "production"}
    plain = {"LISTEN": "3000", "PUBLIC_URL": "https://shop.example", "ALSO": url}
    topology = harness.topology(script, variables={**variables, **plain})
    topology.plain_variables.extend(plain)
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    said = report.SerializeToString().decode("utf-8", "replace")
    for part in ("s3cr3t", "pa55", "MIIEvQ", base64.b64encode(url.encode()).decode()[8:24]):
        assert part not in said, part
    assert "public at https://shop.example and ***" in report.log_tail
    assert {"connecting to ***", "password was ***", "listening in production mode on 3000"} <= {*report.log_tail}
    assert "exited with code 9" in report.reason


CRASHING = """
import http.server, os, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/crash":
            print("KeyError: no such thing as", os.environ["API_TOKEN"], flush=True)
            os._exit(7)
    def log_message(self, *_): pass
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def test_the_end_of_an_app_that_is_restarted_is_told(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: exit code and last lines of a crash stay in the report after the engine has started the app again.
    await harness.start_krane()
    topology = harness.topology(CRASHING, variables={"API_TOKEN": "tok-0123456789"})
    await harness.cluster.put(topology)
    name = name_of(topology)
    await harness.cluster.until_state(name, HEALTHY)
    await eventually(lambda: client.inspect_container(name)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped")
    (network,) = client.inspect_container(name)["NetworkSettings"]["Networks"].values()
    address = network["IPAddress"]
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            await session.get(f"http://{address}:8080/crash")

    def restarted() -> bool:
        report = harness.cluster.instances.get(name)
        return report is not None and report.restarts == 1 and report.state == HEALTHY and bool(report.last_exit.output)

    await harness.cluster.until(restarted)
    last_exit = harness.cluster.instances[name].last_exit
    assert last_exit.exit_code == 7
    assert last_exit.reason == "the app exited with code 7"
    assert list(last_exit.output) == ["KeyError: no such thing as ***"]


async def test_a_command_that_is_no_server_has_a_code_of_its_own(harness: KraneHarness) -> None:
    """Promise: programs can distinguish a command that ended from an app that failed; people read its name."""
    await harness.start_krane()
    topology = harness.topology("print(1)")
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert (report.code, list(report.log_tail)) == ("instance.command_ended", ["1"])
    assert "exited with code 0 before it was healthy: 'python3 -u -c print(1)' came to its end" in report.reason
