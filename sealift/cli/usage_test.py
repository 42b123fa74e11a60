"""Wrong usage: one line that names what was given, exit 2, and nothing done."""

import asyncio
import json
import os
import re
import signal

import click
import pytest

from sealift.cli.app import COMMANDS, cli
from sealift.cli.conftest import BOUND_S, Program
from sealift.cli.exit_codes import ExitCode
from sealift.client import testing_deployment
from sealift.client.testing import KEY, FakeServer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dploy"], "no such command 'dploy'; did you mean 'deploy'?"),
        (["nonsense"], "no such command 'nonsense'; see: sealift --help"),
        (["env", "st"], "no such command 'st'; did you mean 'set'?"),
        (["env", "unst"], "no such command 'unst'; see: sealift env --help"),
        (["keys", "revok"], "no such command 'revok'; see: sealift keys --help"),
        (["stp"], "no such command 'stp'; see: sealift --help"),
        (["destroy"], "no such command 'destroy'; `sealift stop --live` takes an app down; see: sealift --help"),
        (["projects", "rm", "x"], "no such command 'rm'; see: sealift projects --help"),
        (["up"], "no such command 'up'; did you mean 'deploy'?"),
        (["secrets"], "no such command 'secrets'; did you mean 'env'?"),
        (["certs"], "no such command 'certs'; did you mean 'certificates'?"),
        (["domains", "create", "x"], "no such command 'create'; did you mean 'add'?"),
        (["domains", "remove", "x"],
         "no such command 'remove'; `sealift domains rm HOSTNAME` removes a domain; see: sealift domains --help"),
        (["config:set", "A=b"], "no such command 'config:set'; did you mean 'env'? See: sealift env --help"),
        (["env:set", "A=b"], "no such command 'env:set'; did you mean 'env'? See: sealift env --help"),
        (["env", "rm", "A"],
         "no such command 'rm'; `sealift env unset NAME` removes a variable; see: sealift env --help"),
        (["shell", "x"],
         "no such command 'shell'; `sealift run -- sh` runs a command in a container of its own; "
         "see: sealift --help"),
        (["logs", "--tail", "0"], "--tail: 0 is not from 1 to 1000; see: sealift logs --help"),
        (["logs", "--after", "5"], "--after: a number is of a build log: add --build; see: sealift logs --help"),
        (["logs", "--build", "--grep", "x"],
         "--since, --tail, --instance, --process and --grep apply to what apps print, not to a build log; "
         "see: sealift logs --help"),
        (["logs", "--since", "5m", "--after", "x"],
         "--after says where to begin: leave out --since and --tail; see: sealift logs --help"),
        (["logs", "--app", "x"], "no such option '--app'; did you mean '--project'?"),
        (["promote", "--to", "x"], "no such option '--to'; see: sealift promote --help"),
        (["rollback", "dep_1"],
         "got unexpected extra argument (dep_1); did you mean --to dep_1? See: sealift rollback --help"),
        (["ls", "--limit", "0"], "--limit: 0 is not from 1 to 1000; see: sealift ls --help"),
        (["ls", "-n", "x"], "--limit: 'x' is not a whole number from 1 to 1000; see: sealift ls --help"),
        (["logs", "--build", "--after", "-1"],
         "--after: '-1' is not the number of an event of a build; see: sealift logs --help"),
        (["keys", "revoke"], "missing argument 'KEY_ID'; see: sealift keys revoke --help"),
        (["ls", "extra"], "got unexpected extra argument (extra); see: sealift ls --help"),
        (["deploy", "--projct", "x"], "no such option '--projct'; did you mean '--project'?"),
        (["keys", "create", "x", "--role", "boss"],
         "--role: 'boss' is not one of 'admin', 'deploy', 'cluster'; see: sealift keys create --help"),
        (["keys", "create", "x", "--role", "cluster"],
         "--region and --role cluster require each other: a cluster key is for one region; "
         "see: sealift keys create --help"),
        (["ls", "--url", "http://x"],
         "no such option '--url'; it comes before the command: sealift --url URL COMMAND; see: sealift ls --help"),
        (["status", ""], "DEPLOYMENT: the value is empty: set a value, or omit the option; see: sealift status --help"),
        (["ls", "--env", ""], "--env: the value is empty: set a value, or omit the option; see: sealift ls --help"),
        (["deploy", "--image", ""],
         "--image: the value is empty: set a value, or omit the option; see: sealift deploy --help"),
        (["ls", "\x1b[31m"], "got unexpected extra argument (); see: sealift ls --help"),
    ],
)  # fmt: skip
async def test_one_line(sealift: Program, server: FakeServer, words: list[str], said: str) -> None:
    """Promise: usage errors have one form: the problem and where to find help; empty values are errors."""
    done = await sealift(*words)
    assert (done.code, done.out, done.err) == (ExitCode.USAGE, "", f"error: {said}\n")
    assert not server.metadata


async def test_an_empty_variable_is_an_absent_one(sealift: Program, server: FakeServer) -> None:
    """Promise: SEALIFT_* set to nothing, as CI systems do, counts as not set."""
    sealift.env |= {"SEALIFT_IMAGE": "", "SEALIFT_PROJECT": "", "SEALIFT_BRANCH": ""}
    assert (await sealift("deploy")).code == 0
    assert server.created[0].HasField("build_context")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--project", "a\x1b[31mb\nc"),
        ("--project", "x" * 5000),
        ("--project", "A b"),
        ("--env", "Ünï"),
        ("--env", "x y"),
    ],
)
async def test_names_that_can_be_none(sealift: Program, server: FakeServer, option: str, value: str) -> None:
    """Promise: invalid names are refused without a call, shortened and escaped."""
    done = await sealift("deploy", option, value)
    assert done.code == ExitCode.USAGE
    assert "1 to 40 of a-z, 0-9 and single hyphens" in done.err
    assert len(done.err) < 300
    assert "\x1b" not in done.err
    assert not server.metadata


async def test_a_directory_that_is_gone(sealift: Program) -> None:
    """Promise: a removed working directory gives a message; commands that need no directory work."""
    gone = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"
    sealift.command = ("-c", f"{gone}; from sealift.cli.main import main; main()")
    for words, code in (("ls", 2), ("init", 2), ("deploy -p hello", 2), ("ls -p hello", 0)):
        done = await sealift(*words.split())
        assert done.code == code, done.err
        assert "Traceback" not in done.err


async def test_no_home(sealift: Program) -> None:
    """Promise: a user whom the system does not know, as in many containers, needs no home with a key in a variable."""
    del sealift.env["HOME"]
    sealift.command = ("-c", "import pwd; pwd.getpwuid = {}.__getitem__; from sealift.cli.main import main; main()")
    assert (await sealift("ls")).code == 0
    assert (await sealift("deploy")).code == 0
    del sealift.env["SEALIFT_API_KEY"]
    done = await sealift("ls")
    assert (done.code, done.err.count("\n")) == (3, 1)


async def test_paths_that_a_terminal_would_obey(sealift: Program) -> None:
    """Promise: lists and messages escape paths in one line; --json has the exact path."""
    odd = "esc\x1b[31m\nline\udcff.key"
    (sealift.cwd / odd).touch()
    done = await sealift("deploy", "--dry-run")
    assert "esc\\x1b[31m\\nline\\udcff.key\n" in done.out
    assert "look like secrets: esc\\x1b[31m\\nline\\udcff.key;" in done.err
    listed = (await sealift("deploy", "--dry-run", "--json")).events[-1]
    assert odd in [file["path"] for file in listed["files"]]
    (sealift.cwd / odd).unlink()
    (sealift.cwd / odd).symlink_to("/")
    done = await sealift("deploy", "--dry-run")
    assert done.code == ExitCode.USAGE
    assert "\x1b" not in done.err


async def test_a_heading_is_one_harmless_line(sealift: Program) -> None:
    """Promise: a branch or image with control characters can't drive the terminal before the server refuses it."""
    done = await sealift("deploy", "--branch", "a\x1b]0;owned\x07\nb")
    assert done.err.splitlines()[0] == "hello · production · a b"
    assert "\x1b" not in done.err


async def test_bytes_that_are_no_text(sealift: Program, server: FakeServer) -> None:
    """Promise: arguments, variables and files that are not UTF-8 give a message; paths may contain such bytes."""
    bad = os.fsdecode(b"b\xffd")
    for words in (
        ["deploy", "--branch", bad], ["deploy", "--build-arg", f"A={bad}"], ["deploy", "--secret", f"id={bad},env=X"],
        ["env", "unset", bad], ["env", "set", bad], ["projects", "create", bad], ["keys", "create", bad],
        ["status", bad], ["environments", "create", bad], ["--url", f"http://{bad}", "ls"], [bad], ["ls", f"--{bad}"],
    ):  # fmt: skip
        done = await sealift(*words)
        assert (done.code, done.out) == (ExitCode.USAGE, ""), words
        assert "Traceback" not in done.err
        assert done.err.startswith("error: ")
    for name in ("SEALIFT_BRANCH", "SEALIFT_PROJECT", "SEALIFT_ENV", "SEALIFT_URL", "SEALIFT_COMMIT", "SEALIFT_IMAGE"):
        before, sealift.env[name] = sealift.env.get(name, ""), bad
        done = await sealift("deploy", "--json")
        assert (done.code, done.events[-1]["exit_code"], "Traceback" in done.err) == (
            ExitCode.USAGE,
            ExitCode.USAGE,
            False,
        )
        sealift.env[name] = before
    sealift.env["SEALIFT_API_KEY"] = bad
    assert (await sealift("ls")).code == ExitCode.AUTH
    assert not server.metadata
    sealift.env["SEALIFT_API_KEY"] = KEY
    (sealift.cwd / "sealift.toml").write_bytes(b'project = "h\xff"\n')
    assert "is not UTF-8 text" in (await sealift("deploy")).err
    (sealift.cwd / bad).mkdir()
    (sealift.cwd / bad / "Dockerfile").write_text("FROM scratch\n")
    assert (await sealift("deploy", bad, "--project", "hello")).code == 0


def test_every_word_is_checked() -> None:
    """Promise: no option or argument of any command takes text unchecked."""
    commands: list[click.Command] = [cli]
    for verb in COMMANDS.values():
        command = verb.load()
        commands += [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    unchecked = [
        (command.name, param.name) for command in commands for param in command.params if param.type is click.STRING
    ]
    assert unchecked == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "--json", "--limit", "0"], ExitCode.USAGE),
        (["nonsense", "--json"], ExitCode.USAGE),
        (["deploy", "nosuchdir", "--json"], ExitCode.USAGE),
        (["ls", "--json", "--project", "nope"], ExitCode.FAILED),
        (["env", "ls", "--json", "--env", "nope"], ExitCode.FAILED),
        (["status", "dep_nope", "--json"], ExitCode.FAILED),
        (["promote", "dep_nope", "--json"], ExitCode.FAILED),
    ],
)
async def test_json_always_ends_with_a_result(sealift: Program, words: list[str], code: ExitCode) -> None:
    """Promise: with --json every failure gives a result on stdout, including usage errors."""
    done = await sealift(*words)
    assert done.code == code
    assert [(event["event"], event["exit_code"]) for event in done.events] == [("result", code)]
    assert done.events[0]["message"]
    assert done.err.startswith("error: ")


async def test_every_dry_run_has_a_result(sealift: Program) -> None:
    """Promise: with --json a dry run of an image ends with a result, too."""
    done = await sealift("deploy", "--dry-run", "--json", "--image", "nginx:1.27")
    assert (done.code, done.events[-1]["event"], done.events[-1]["image"]) == (0, "result", "nginx:1.27")


async def test_a_fault_of_our_own_has_a_result(sealift: Program) -> None:
    """Promise: unexpected errors have the same form, with the details for a bug report."""
    broken = "import sealift.cli.format.tables as t; t.format_table = None; from sealift.cli.main import main; main()"
    sealift.command = ("-c", broken)
    done = await sealift("projects")
    assert (done.code, done.out) == (ExitCode.FAILED, "")
    assert "Traceback" in done.err
    assert done.err.endswith("error: this is a bug in sealift (TypeError); please report it with the lines above\n")


async def test_an_interrupt_at_any_moment(sealift: Program, server: FakeServer) -> None:
    """Promise: Ctrl-C ends a command without a traceback, however early, and with --json with a result."""
    server.scenario = testing_deployment.waits_for_cancel
    ends = []
    for delay_ms in (0, 50, 100, 150, 200, 300, 1000):  # from before the first line of ours to the middle of a deploy
        process = await sealift.start("deploy", "--json")
        await asyncio.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), BOUND_S)
        if b"Traceback" in err:  # Python's own start, which comes before the first line of ours
            assert not re.search(rb'/main\.py", line \d+, in main\n', err), (delay_ms, err)
            continue
        ends.append(process.returncode)
        if process.returncode == ExitCode.INTERRUPTED:
            assert json.loads(out.splitlines()[-1])["exit_code"] == ExitCode.INTERRUPTED
    assert set(ends) <= {ExitCode.INTERRUPTED, -signal.SIGINT}
    assert ExitCode.INTERRUPTED in ends
