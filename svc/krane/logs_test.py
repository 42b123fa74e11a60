"""What apps print reaches the api: all of it, once, in order, whatever is killed or away. On a real engine."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import log_pb2
from svc.krane.testing import engine
from svc.krane.testing.cluster import StoredLog
from svc.krane.testing.harness import SERVE, KraneHarness, name_of, open_harness

WAIT_S = 60

PRINT = """
import threading, sys, os
def say():
    for n in range(int(os.environ["LINES"])):
        out = sys.stderr if n % 7 == 3 else sys.stdout
        out.write(f"line {n}\\n")
        out.flush()
        time.sleep(float(os.environ.get("PAUSE_S", "0")))
threading.Thread(target=say, daemon=True).start()
"""


# Without the lines that it prints of our probes.
QUIET = SERVE.replace("RequestHandler):", "RequestHandler):\n    log_message = lambda *_: None")


def script(body: str) -> str:
    """An app that serves, and prints beside that."""
    return "import time\n" + body + QUIET


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[KraneHarness]:
    async with open_harness(tmp_path) as harness:
        yield harness


async def printed(harness: KraneHarness, topology: pb.Topology, count: int, replica: int = 0) -> StoredLog:
    """The log of an instance, once it has so many lines."""

    def enough() -> StoredLog | None:
        logs = [log for log in harness.cluster.logs.values() if log.instance_id == name_of(topology, replica)]
        return next((log for log in logs if len(log.lines) >= count), None)

    found: StoredLog = await harness.cluster.until(enough, WAIT_S)
    return found


async def test_lines_of_both_outputs_come_with_their_times(harness: KraneHarness) -> None:
    """Promise: each line is there once with its stream, in order; its time is when it was printed."""
    topology = harness.topology(script(PRINT), variables={"LINES": "50"}, replicas=2)
    await harness.start_krane()
    await harness.cluster.put(topology)
    for replica in (0, 1):
        log = await printed(harness, topology, 50, replica)
        outs = {log_pb2.LOG_STREAM_STDOUT: [], log_pb2.LOG_STREAM_STDERR: []}  # type: dict[int, list[str]]
        for line in log.lines:
            outs[line.stream].append(line.text)
        assert outs[log_pb2.LOG_STREAM_STDERR] == [f"line {n}" for n in range(50) if n % 7 == 3]
        assert outs[log_pb2.LOG_STREAM_STDOUT] == [f"line {n}" for n in range(50) if n % 7 != 3]
        assert [line.at for line in log.lines] == sorted(line.at for line in log.lines)


async def test_what_is_odd_is_handled(harness: KraneHarness) -> None:
    """Promise: long lines, binary, escapes, empty lines and an end without a newline come, in bounded pieces."""
    body = r"""
import sys
out = sys.stdout.buffer
out.write(b"a" * 1_000_000 + b"\n")
out.write("\u00fc".encode() * 20_001 + b"\n")
out.write(b"\x00\xff\xfe binary\n\n")
out.write(b"\x1b[31mred\x1b[0m\r\n")
out.write(b"x" * 3_000_000 + b"\n")
out.write(b"no newline")
out.flush()
sys.exit(3)
"""
    topology = harness.topology(body)
    await harness.start_krane()
    await harness.cluster.put(topology)

    def ended() -> StoredLog | None:
        return next((log for log in harness.cluster.logs.values() if log.texts[-1:] == ["no newline"]), None)

    log = await harness.cluster.until(ended, WAIT_S)
    lines = [""]
    for line in log.lines:
        assert len(line.text.encode()) <= 16 << 10
        lines[-1] += line.text
        if not line.is_partial:
            lines.append("")
    assert lines[0] == "a" * 1_000_000
    assert lines[1] == "\u00fc" * 20_001
    assert lines[2:5] == ["\x00\ufffd\ufffd binary", "", "\x1b[31mred\x1b[0m"]
    assert lines[5] == "x" * (1 << 20) + f"\u2026 (the line goes on for {3_000_000 - (1 << 20)} bytes)"
    assert lines[6:] == ["no newline", ""]


async def test_secrets_are_redacted(harness: KraneHarness) -> None:
    """Promise: values of variables are in no line, also when they are long, coloured or of several lines."""
    value = "-----BEGIN KEY-----\nAAAAAAAABBBBBBBBCCCC\n-----END KEY-----"
    body = r"""
import os, sys
for name in ("A", "B"):
    print("got", os.environ[name], flush=True)
print("\x1b[1ms3cr\x1b[0met-of-a")
print("x" * 16380 + os.environ["A"], flush=True)
sys.exit(1)
"""
    topology = harness.topology(body, variables={"A": "s3cret-of-a", "B": value, "PLAIN": "kept-in-clear"})
    await harness.start_krane()
    await harness.cluster.put(topology)
    log = await printed(harness, topology, 6)
    whole = "\n".join(log.texts)
    assert "s3cret" not in whole.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "AAAAAAAABBBBBBBBCCCC" not in whole
    assert whole.startswith("got ***\ngot ***")


async def test_krane_that_is_killed_loses_and_doubles_nothing(harness: KraneHarness) -> None:
    """Promise: the next krane continues each log where the api has it, also with its own state gone."""
    topology = harness.topology(script(PRINT), variables={"LINES": "3000", "PAUSE_S": "0.001"})
    await harness.start_krane()
    await harness.cluster.put(topology)
    await printed(harness, topology, 300)
    await harness.stop_krane()
    for path in (harness.folder / "krane").glob("*"):
        path.unlink()
    await asyncio.sleep(0.2)  # it goes on printing
    await harness.start_krane()
    log = await printed(harness, topology, 3000)
    assert sorted(log.texts, key=lambda text: int(text.split()[1])) == [f"line {n}" for n in range(3000)]
    assert len(harness.cluster.logs) == 1


async def test_an_api_that_is_away_or_loses_answers(harness: KraneHarness) -> None:
    """Promise: what is printed meanwhile waits with the engine; a batch that lost its answer is there once."""
    topology = harness.topology(script(PRINT), variables={"LINES": "20000"})
    harness.cluster.refuse_logs, harness.cluster.lose_answers = 3, 2
    await harness.start_krane()
    await harness.cluster.put(topology)
    await printed(harness, topology, 100)
    await harness.cluster.stop()
    await asyncio.sleep(0.5)
    await harness.cluster.start()
    log = await printed(harness, topology, 20000)
    assert sorted(log.texts, key=lambda text: int(text.split()[1])) == [f"line {n}" for n in range(20000)]


async def test_an_app_that_is_started_again_goes_on_in_the_same_log(harness: KraneHarness) -> None:
    """Promise: a restart by the engine neither repeats nor loses lines; a replaced instance is another log."""
    body = 'print("begin", flush=True)\n' + QUIET
    topology = harness.topology(body)
    await harness.start_krane()
    await harness.cluster.put(topology)
    await harness.cluster.route("app.test", topology.deployment_id)
    client = engine.client()
    try:
        await printed(harness, topology, 1)
        await harness.cluster.until(
            lambda: client.inspect_container(name_of(topology))["HostConfig"]["RestartPolicy"]["Name"] != "no", WAIT_S
        )
        client.restart(name_of(topology), timeout=1)
        log = await printed(harness, topology, 2)
        client.remove_container(name_of(topology), force=True)
        await harness.cluster.until(lambda: len(harness.cluster.logs) == 2, WAIT_S)
    finally:
        client.close()
    assert log.texts == ["begin", "begin"]
    assert [one.texts for one in harness.cluster.logs.values()][1][:1] in (["begin"], [])
