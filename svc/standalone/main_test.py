"""The command line: light, and its errors are sentences."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from svc.standalone.__main__ import main
from svc.standalone.command import ROOT


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """`up` sends this process's log to a standard error that is pytest's, for this test only."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_supervisor_stays_small() -> None:
    """It is the one process that must never be the heavy or the failing one."""
    heavy = (
        "{'grpc', 'docker', 'sqlalchemy', 'aiohttp', 'cryptography', 'restate', 'opentelemetry', 'prometheus_client'}"
    )
    code = f"import sys, svc.standalone.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    assert done.stdout == "[]\n"


def test_nothing_running_is_not_an_error_for_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make down` can be repeated; `make status` says that nothing runs, by its exit code too."""
    assert main(["down", "--apps", "--state-dir", str(tmp_path / "s")]) == 0
    assert main(["status", "--state-dir", str(tmp_path / "s")]) == 1
    assert "Nothing runs" in capsys.readouterr().out


def test_commands_on_what_runs_need_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell without the service's variables can ask and end; an unknown state directory is refused, not replaced."""
    file = tmp_path / "stack.toml"
    registry = '[registry]\nurl = "r.example.com"\npassword = "${NOBODY_SETS_THIS}"\n'
    file.write_text(f'state_dir = "{tmp_path}/s"\n{registry}')
    assert main(["down", "--config", str(file)]) == 0
    assert main(["status", "--config", str(file)]) == 1
    assert f"Nothing runs in {tmp_path}/s" in capsys.readouterr().out
    assert main(["up", "--config", str(file)]) == 2
    assert "NOBODY_SETS_THIS is not set" in capsys.readouterr().err
    for line in ('state_dir = "${NOBODY_SETS_THIS}"', "state_dir = 3", "state_dir = "):
        file.write_text(line)
        assert main(["down", "--config", str(file)]) == 2
        assert str(file) in capsys.readouterr().err


def test_problems_are_sentences_with_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for what an operator can mend: 2 for the configuration, 1 for the machine."""
    assert main(["up", "--state-dir", str(tmp_path / "s"), "--api-port", "99999"]) == 2
    assert main(["up", "--state-dir", f"/tmp/{'x' * 80}"]) == 1
    said = capsys.readouterr().err
    assert "ports.api: 99999" in said
    assert "--state-dir" in said
    assert "Traceback" not in said
