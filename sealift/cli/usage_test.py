"""Wrong usage: one line that names what was given, exit 2, and nothing done."""

import pytest

from sealift.cli.conftest import Program
from sealift.cli.exits import Exit
from sealift.client.testing import FakeServer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dploy"], "no such command 'dploy'; did you mean 'deploy'?"),
        (["nonsense"], "no such command 'nonsense'; see sealift --help"),
        (["env", "st"], "no such command 'st'. Did you mean 'set'?"),
        (["ls", "--limit", "0"], "--limit: 0 is not from 1 to 1000; see: sealift ls --help"),
        (["ls", "-n", "x"], "--limit: 'x' is not a whole number from 1 to 1000; see: sealift ls --help"),
        (["logs", "--build", "--after", "-1"], "--after: -1 is not from 0 on; see: sealift logs --help"),
        (["promote"], "missing argument 'DEPLOYMENT'; see: sealift promote --help"),
        (["ls", "extra"], "got unexpected extra argument (extra); see: sealift ls --help"),
        (["deploy", "--projct", "x"], "no such option '--projct'. Did you mean '--project'?"),
        (["keys", "create", "x", "--role", "boss"],
         "--role: 'boss' is not one of 'admin', 'deploy', 'cluster'; see: sealift keys create --help"),
        (["keys", "create", "x", "--role", "cluster"],
         "--region and --role cluster go together: a cluster key is for one region; see: sealift keys create --help"),
        (["status", ""], "DEPLOYMENT: it is empty: name something, or leave it out; see: sealift status --help"),
        (["ls", "--env", ""], "--env: it is empty: name something, or leave it out; see: sealift ls --help"),
        (["deploy", "--image", ""],
         "--image: it is empty: name something, or leave it out; see: sealift deploy --help"),
        (["ls", "\x1b[31m"], "got unexpected extra argument (); see: sealift ls --help"),
    ],
)  # fmt: skip
async def test_one_line(sealift: Program, server: FakeServer, words: list[str], said: str) -> None:
    """Promise: what was wrong and where to look it up, in our form; an empty value is a mistake, not an absent one."""
    done = await sealift(*words)
    assert (done.code, done.out, done.err) == (Exit.USAGE, "", f"error: {said}\n")
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
    """Promise: what can't be a name is refused here, in few words, and never reaches the terminal as it is."""
    done = await sealift("deploy", option, value)
    assert done.code == Exit.USAGE
    assert "1 to 40 of a-z, 0-9 and single hyphens" in done.err
    assert len(done.err) < 300
    assert "\x1b" not in done.err
    assert not server.metadata


async def test_a_heading_is_one_harmless_line(sealift: Program) -> None:
    """Promise: a branch or image with control characters can't drive the terminal before the server refuses it."""
    done = await sealift("deploy", "--branch", "a\x1b]0;owned\x07\nb")
    assert done.err.splitlines()[0] == "hello · production · a b"
    assert "\x1b" not in done.err
