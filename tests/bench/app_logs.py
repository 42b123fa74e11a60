"""Figures: lines of a running app until they are on its follower's screen, all of many lines, and many followers."""

import asyncio
import json
import resource
import time
from pathlib import Path
from statistics import quantiles

from sealift.client.client import Client
from sealift.client.credentials import Endpoint
from sealift.ctrl.v1 import log_pb2
from tests.bench.figure import Figure
from tests.bench.logs import cpu_ms
from tests.harness import apps
from tests.harness.stack import Stack

LINES = 100_000
FOLLOWERS = 200
PROJECT = "bench-app-logs"
PARTS = ("api", "krane")
_PER = 10_000
_WATCHED_S = 15
_SERVE = "exec /bin/busybox httpd -f -p $PORT -h /www"
_STEADY = f"(while :; do echo one of the lines that this app prints all the time; sleep 0.05; done) & {_SERVE}"
_BURST = (
    f"(sleep 3; n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); echo request $n of this app was answered; done) & "
    f"{_SERVE}"
)


def measure(engine_socket: str, scratch: Path, rounds: int) -> list[Figure]:
    """On a stack of its own: a steady app, as one and as many follow it, and an app that prints LINES at once."""
    with Stack(engine_socket) as stack:
        stack.sealift("projects", "create", PROJECT)
        steady = _deploy(stack, scratch / "steady", _STEADY)
        waits = [_waits_ms(stack, steady, 200) for _ in range(rounds)]
        crowd = asyncio.run(_crowd(stack, steady))
        bursts = [_burst(stack, scratch / f"burst-{number}") for number in range(rounds)]
    percentiles = [quantiles(each, n=100) for each in waits]
    return [
        Figure("line of a running app until its follower has it: p50", "value", [one[49] for one in percentiles], "ms"),
        Figure("  p99", "value", [one[98] for one in percentiles], "ms"),
        Figure(
            f"{LINES:,} lines of a running app: lost or twice", "value", [one[0] for one in bursts], "lines", mark=0
        ),
        Figure("  lines per second", "value", [one[1] for one in bursts], "lines/s"),
        *(
            Figure(f"  CPU of {part}, per {_PER:,} lines", "value", [one[2][part] for one in bursts], "ms")
            for part in PARTS
        ),
        Figure(f"{FOLLOWERS} followers of 20 lines a second: memory of the api", "value", [crowd[0]], "MiB"),
        Figure("  CPU of the api, per second", "value", [crowd[1]], "ms"),
        Figure("  lines that a follower lacks", "value", [crowd[2]], "lines", mark=0),
    ]


def _deploy(stack: Stack, folder: Path, command: str) -> str:
    done = stack.deploy(apps.app(folder, command=command), PROJECT)
    if done.code != 0:
        raise RuntimeError(f"the app does not run: {done.err}")
    return str(done.last_json["deployment_id"])


def _waits_ms(stack: Stack, deployment_id: str, count: int) -> list[float]:
    """From when the engine got each of so many lines until the command line had printed it."""
    process = stack.start_cli("logs", deployment_id, "--follow", "--json", "-n", "1")
    assert process.stdout is not None
    next(process.stdout)
    waits = []
    for line in process.stdout:
        waits.append(time.time() * 1000 - json.loads(line)["at"])
        if len(waits) == count:
            break
    process.terminate()
    process.communicate()
    return waits


def _burst(stack: Stack, folder: Path) -> tuple[float, float, dict[str, float]]:
    """Lines that are missing or not in their place, lines a second, and CPU of each of PARTS per _PER lines."""
    before = {part: cpu_ms(stack.process(part).pid) for part in PARTS}
    deployment_id = _deploy(stack, folder, _BURST)
    process = stack.start_cli("logs", deployment_id, "--follow", "--json", "--since", "1h")
    assert process.stdout is not None
    numbers: list[int] = []
    first = 0.0
    for line in process.stdout:
        if "of this app was answered" in line:
            first = first or time.monotonic()
            numbers.append(int(json.loads(line)["text"].split()[1]))
            if numbers[-1] == LINES:
                break
    took_s = time.monotonic() - first
    process.terminate()
    process.communicate()
    cpu = {part: (cpu_ms(stack.process(part).pid) - before[part]) * _PER / LINES for part in PARTS}
    wrong = 0 if numbers == list(range(1, LINES + 1)) else abs(LINES - len(set(numbers))) or LINES
    return wrong, LINES / took_s, cpu


async def _crowd(stack: Stack, deployment_id: str) -> tuple[float, float, float]:
    """MiB that the followers cost the api, its CPU in ms a second, and the most lines that one of them lacks."""
    pid = stack.process("api").pid
    before = _resident_mib(pid)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    key = (stack.state / "secrets" / "admin.key").read_text().strip()
    async with Client(Endpoint(f"http://{stack.endpoints['api']}", key)) as client:
        tasks = [asyncio.create_task(_follow(client, deployment_id)) for _ in range(FOLLOWERS)]
        await asyncio.sleep(_WATCHED_S / 3)
        began, cpu = time.monotonic(), cpu_ms(pid)
        await asyncio.sleep(_WATCHED_S)
        used = (cpu_ms(pid) - cpu) / (time.monotonic() - began)
        grown = _resident_mib(pid) - before
        seen = [await task for task in tasks]
    common_first, common_last = max(min(one) for one in seen), min(max(one) for one in seen)
    wanted = {at for one in seen for at in one if common_first <= at <= common_last}
    return grown, used, float(max(len(wanted - one) for one in seen))


async def _follow(client: Client, deployment_id: str) -> set[int]:
    """The times of the lines of _WATCHED_S and a half."""
    request = log_pb2.GetLogsRequest(deployment_id=deployment_id, follow=True, tail=1)
    seen: set[int] = set()
    try:
        async with asyncio.timeout(_WATCHED_S * 1.5):
            async for message in client.stream_logs(request):
                seen.update(line.at for line in message.lines)
    except TimeoutError:
        pass
    return seen


def _resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
