"""A real engine's messages about common mistakes are explained with their cause and the next step."""

import socket
import struct
from pathlib import Path

import pytest

from pkg.builders.docker.testing import Build, failure
from pkg.builders.testing import SHELL, MemorySink, engine_socket, nonce
from pkg.builders.testing_mistakes import MISTAKES
from pkg.buildkit.follow import GAP
from pkg.telemetry.events import StepState

STAGES = SHELL.replace("scratch", "scratch AS made") + "FROM scratch\nCOPY --from=made /dist/app /app\n"


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        (STAGES, "takes a file from 'made' that is not there"),
        (SHELL + "COPY nothere /x\n", "what git ignores, may leave it out"),
        (SHELL + "COPY --nope=1 a /x\n", "does not know --nope"),
        (SHELL + "FOO bar\n", "FOO begins no instruction"),
        ("ARG BASE\nFROM ${BASE}\n", "give the ARG before it a value"),
        ("FROM 127.0.0.1:9/nothere:1\n", "can't reach the registry"),
        ("# syntax=127.0.0.1:9/docker/dockerfile:1\n" + SHELL, "or remove that line"),
        (
            "\ufeff" + (SHELL + f"RUN : {nonce()}; nosuchprogram\n").replace("\n", "\r\n"),
            "A program of it is not in the image",
        ),
        (SHELL + f"RUN printf '#!/bin/sh\\r\\n: {nonce()}' >/run.sh; chmod +x /run.sh; /run.sh\n", "Windows line ends"),
        (SHELL + f"RUN : {nonce()}; nosuchprogram\n", "is not in the image"),
        (
            SHELL + f"RUN : {nonce()}; echo 'Temporary failure resolving deb.debian.org' >&2; exit 100\n",
            "no working DNS",
        ),
    ],
    ids=["stage", "context", "flag", "instruction", "ARG", "registry", "syntax", "CRLF", "CRLF script", "127", "DNS"],
)
async def test_the_remedy_of_a_mistake(build: Build, dockerfile: str, expected: str) -> None:
    """Promise: the message of a failed build says what to do in that very situation."""
    error = await failure(build, dockerfile)
    assert expected in error.message


@pytest.mark.parametrize("name", MISTAKES)
async def test_mistakes_that_many_make(build: Build, name: str) -> None:
    """Promise: the message of a failed build names the mistake."""
    mistake = MISTAKES[name]
    error = await failure(build, mistake.dockerfile)
    assert (error.kind, mistake.words in error.message) == (mistake.kind, True), error.message
    assert "overlay2" not in error.message


def is_clipping(engine: Path) -> bool:
    """Whether the engine's daemon has BuildKit's own bounds of a step's output, as all but private ones do."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engine))
        pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    environment = dict(one.partition(b"=")[::2] for one in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    bounds = [environment.get(b"BUILDKIT_STEP_LOG_MAX_" + name, b"0") for name in (b"SIZE", b"SPEED")]
    return min(map(int, bounds)) < 64 << 20


async def test_the_output_of_a_step_is_kept_or_its_cut_is_marked(build: Build) -> None:
    """Promise: a private engine's log has 60,000 lines of a step; where the builder kept some back, the log says so."""
    sink = MemorySink()
    lines = 60_000
    command = f"busybox seq {lines} | busybox sed 's/$/ lines of an ordinary long build log/'"
    await build({"Dockerfile": SHELL + f"RUN : {nonce()}; {command}\n"}, sink)
    kept = sum(text.endswith("of an ordinary long build log") for _, _, text in sink.lines)
    is_clipped = is_clipping(engine_socket())
    # Docker before 23 on a machine that is busy: see pkg/buildkit/follow.py
    has_gap = f"[{GAP}]" in sink.text.splitlines()
    assert ("[output clipped" in sink.text, kept < lines) == (is_clipped, is_clipped) or has_gap
    assert all(step.state in (StepState.CACHED, StepState.COMPLETED) for step in sink.last_steps.values())
