"""`sealift completion`, and what it makes a shell ask."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sealift.cli.conftest import ROOT

PROGRAM = f"{sys.executable} -m sealift.cli.main"


def ask(*words: str, at: int, **env: str) -> subprocess.CompletedProcess[str]:
    """What a shell is answered that completes the word `at`."""
    question = {"_SEALIFT_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(at)}
    return run([sys.executable, "-m", "sealift.cli.main"], question | env)


def run(command: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("words", "at", "found"),
    [
        (("sealift", "de"), 1, {"deploy"}),
        (("sealift", "deploy", "--det"), 2, {"--detach"}),
        (("sealift", "keys", "create", "x", "--role", ""), 5, {"admin", "deploy", "cluster"}),
        (("sealift", "env", ""), 2, {"ls", "set", "unset"}),
        (("sealift", "completion", ""), 2, {"bash", "zsh", "fish"}),
        (("sealift", "nonsense", "de"), 2, {"deploy"}),
        (("sealift", "ls", "--limit", "0", "--js"), 4, {"--json"}),
        (("sealift", "build", "sh"), 2, {"show"}),
        (("sealift", "build", "--no-c"), 2, {"--no-cache"}),
        (("sealift", "build", "show", "--wa"), 3, {"--wait", "--wait-timeout"}),
    ],
)
def test_words(words: tuple[str, ...], at: int, found: set[str]) -> None:
    """Promise: commands, options and choices are completed; invalid words are not an error."""
    answer = ask(*words, at=at)
    assert {line.partition(",")[2] for line in answer.stdout.splitlines()} >= found
    assert answer.stderr == ""


def test_commands_are_completed_at_once() -> None:
    """Promise: completing commands imports none of them."""
    answer = ask("sealift", "", at=1, PYTHONVERBOSE="1")
    assert "plain,rollback" in answer.stdout
    assert "sealift.cli.commands" not in answer.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    """Promise: each shell gets a script that names our program and our variable."""
    made = run([*PROGRAM.split(), "completion", shell], {"PATH": "/nowhere"})
    assert made.returncode == 0
    assert f"_SEALIFT_COMPLETE={shell}_complete" in made.stdout


def test_in_a_real_bash(tmp_path: Path) -> None:
    """Promise: with the line from the help, bash completes `sealift roll`."""
    program = tmp_path / "sealift"
    program.write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(sealift completion bash)"; COMP_WORDS=(sealift roll) COMP_CWORD=1; '
        '_sealift_completion sealift roll sealift; echo "${COMPREPLY[@]}"'
    )
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = run(["bash", "--norc", "-c", script], env)
    assert (done.stdout, done.stderr) == ("rollback\n", "")
