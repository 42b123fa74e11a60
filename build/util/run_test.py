import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S

SERVICE = """
import asyncio, time
from build.util import run as entry
from build.util.run import run_service
from pkg.config import Strict
from pkg.config.sections import Log, Tracing
from pkg.lifecycle import Runner
from pkg.observability import tracing

class Config(Strict):
    instance_id: str | None = None
    mode: str = "run"
    log: Log = Log()
    tracing: Tracing = Tracing()

async def run(config: Config, runner: Runner) -> None:
    async def closed() -> None:
        print("closed", flush=True)
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    async def broken() -> None:
        raise OSError("disk gone")
    runner._cleanup_timeout_s = 0.2
    runner.defer("pool", closed)
    if config.mode == "fail": raise ValueError("port taken")
    if config.mode == "stubborn": runner.spawn("stubborn", stubborn())
    if config.mode == "blocked":
        async def block() -> None:
            time.sleep(600)
        entry.HARD_STOP_AFTER_S = 1.0
        runner.defer("block", block)
    if config.mode == "task": runner.spawn("broken", broken())
    if config.mode == "slow":
        print("up", flush=True)
        await asyncio.sleep(60)
    assert config.instance_id
    assert not tracing.current().enabled
    print("up", flush=True)

run_service("fake", Config, run)
"""


def start(tmp_path: Path, toml: str, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    (tmp_path / "fake.py").write_text(SERVICE)
    (tmp_path / "fake.toml").write_text(toml)
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "fake.py"), *(args or ("--config", str(tmp_path / "fake.toml")))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
    )


def stop_when_up(service: subprocess.Popen[str], number: signal.Signals) -> tuple[str, list[dict[str, object]]]:
    assert service.stdout is not None
    try:
        assert select.select([service.stdout], [], [], WAIT_S)[0], "did not come up"
        first = service.stdout.readline()
        service.send_signal(number)
        out, err = service.communicate(timeout=WAIT_S)
    finally:
        service.kill()
    return first + out, [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_as_told(tmp_path: Path, number: signal.Signals) -> None:
    """Promise: a signal unwinds everything and ends with 0; every line is JSON with the instance id."""
    service = start(tmp_path, 'instance_id = "inst_mine"')
    out, lines = stop_when_up(service, number)
    assert service.returncode == 0
    assert out == "up\nclosed\n"
    assert [line["msg"] for line in lines] == ["starting", f"stopping: {number.name}", "stopped"]
    assert {(line["service"], line["service.instance.id"]) for line in lines} == {("fake", "inst_mine")}


def test_stops_during_start_and_makes_an_instance_id(tmp_path: Path) -> None:
    """Promise: a service that is still starting stops as cleanly."""
    service = start(tmp_path, 'mode = "slow"')
    out, lines = stop_when_up(service, signal.SIGTERM)
    assert service.returncode == 0
    assert out == "up\nclosed\n"
    assert str(lines[0]["service.instance.id"]).startswith("inst_")


@pytest.mark.parametrize(("mode", "error"), [("fail", "ValueError: port taken"), ("task", "OSError: disk gone")])
def test_failure_is_the_verdict(tmp_path: Path, mode: str, error: str) -> None:
    """Promise: an error of the start or of a task cleans up, is logged with its traceback, and ends with 1."""
    service = start(tmp_path, f'mode = "{mode}"')
    out, err = service.communicate(timeout=WAIT_S)
    assert service.returncode == 1
    assert out.endswith("closed\n")
    last = json.loads(err.splitlines()[-1])
    assert last["msg"] == "failed"
    assert error in last["exc"]


def test_a_task_that_ignores_its_end_does_not_hold_the_process(tmp_path: Path) -> None:
    """Promise: the stop is bounded by the runner, not by the worst task."""
    service = start(tmp_path, 'mode = "stubborn"')
    out, _ = stop_when_up(service, signal.SIGTERM)
    assert service.returncode == 1
    assert out == "up\nclosed\n"


def test_a_blocked_loop_does_not_hold_the_process(tmp_path: Path) -> None:
    """Promise: even a cleanup that blocks the event loop only delays the end to the hard bound."""
    service = start(tmp_path, 'mode = "blocked"')
    _, lines = stop_when_up(service, signal.SIGTERM)
    assert service.returncode == 1
    assert lines[-1]["level"] == "critical"


def test_wrong_configuration_is_for_people(tmp_path: Path) -> None:
    """Promise: all problems, in plain lines, exit 2, nothing started."""
    service = start(tmp_path, 'mood = "x"\n[log]\nlevel = "loud"\n')
    out, err = service.communicate(timeout=WAIT_S)
    assert (service.returncode, out) == (2, "")
    assert err.startswith("sealift-fake: ")
    assert "mood: unknown key; did you mean 'mode'?" in err
    assert "log.level: expected one of" in err


def test_command_line(tmp_path: Path) -> None:
    """Promise: --version answers without a configuration; SEALIFT_CONFIG names the file; a missing file is exit 2."""
    version = start(tmp_path, "", "--version")
    assert version.communicate(timeout=WAIT_S)[0].startswith("sealift fake ")
    missing = start(tmp_path, "", "--config", str(tmp_path / "none.toml"))
    assert "No such file" in missing.communicate(timeout=WAIT_S)[1]
    assert missing.returncode == 2
    (tmp_path / "fake.py").write_text(SERVICE)
    by_env = subprocess.run(
        [sys.executable, str(tmp_path / "fake.py")],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "SEALIFT_CONFIG": str(tmp_path / "else.toml")},
    )
    assert "else.toml" in by_env.stderr
