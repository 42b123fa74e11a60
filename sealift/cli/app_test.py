"""The entry point: quick, complete, and honest about its exit codes."""

import subprocess
import sys

import click
import pytest

from sealift.cli.app import COMMANDS, cli, invoke
from sealift.cli.exit_codes import MEANINGS, ExitCode
from sealift.cli.parsing.command_groups import HybridCommand

HEAVY = ("grpc", "google.protobuf", "docker", "rich", "asyncio", "msgspec", "opentelemetry", "tomli", "ssl")


@pytest.mark.parametrize(
    "code",
    ["import sealift.cli.app, sealift.client", "from sealift.cli.app import invoke; invoke(['--help'])"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    """Promise: --help takes little longer than starting the interpreter."""
    probe = f"{code}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_verb_loads(name: str) -> None:
    """Promise: every listed command exists and has help, and every option has a help text."""
    command = COMMANDS[name].load()
    assert command.help
    assert COMMANDS[name].help.endswith(".")
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    if isinstance(command, HybridCommand):
        commands += [child.load() for child in command.lazy_commands.values()]
    for one in commands:
        for param in one.params:
            if isinstance(param, click.Option):
                assert param.help, (name, param.name)
                assert not param.envvar or param.show_envvar, (name, param.name)


def test_no_option_takes_a_key() -> None:
    """Promise: the key is never an argument."""
    options = {opt for name in COMMANDS for param in COMMANDS[name].load().params for opt in param.opts}
    options |= {opt for param in cli.params for opt in param.opts}
    assert not {"--key", "--api-key", "--token"} & options


def test_exit_codes_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: --help lists every exit code."""
    assert invoke(["--help"]) == 0
    shown = capsys.readouterr().out
    assert set(MEANINGS) == set(ExitCode)
    assert all(f"{code.value:>3}  {MEANINGS[code]}" in shown for code in ExitCode)


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: usage errors exit with 2, and a mistyped command gets a suggestion."""
    assert invoke(["deploi"]) == 2
    assert "did you mean 'deploy'" in capsys.readouterr().err
    assert invoke(["deploy", "--nope"]) == 2
    assert invoke(["logs", "--after", "5"]) == 2
    assert invoke(["--url", "nonsense", "ls", "-p", "x"]) == 2
