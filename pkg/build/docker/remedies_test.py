"""What a real engine says of ordinary mistakes is told with its cause and the next step."""

import pytest

from pkg.build.docker.backend_test import Build, build, failure, image_name, store
from pkg.build.testing import SHELL, MemorySink, nonce

__all__ = ["build", "image_name", "store"]  # fixtures

STAGES = SHELL.replace("scratch", "scratch AS made") + "FROM scratch\nCOPY --from=made /dist/app /app\n"


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        (STAGES, "takes a file from 'made' that is not there"),
        (SHELL + "COPY nothere /x\n", "what git ignores, may leave it out"),
        (SHELL + "COPY --nope=1 a /x\n", "does not know --nope"),
        (SHELL + "FOO bar\n", "FOO begins no instruction"),
        ("ARG BASE\nFROM ${BASE}\n", "give the ARG before it a value"),
        ("FROM 127.0.0.1:9/nothere:1\n", "can't reach the registry"),
        ("# syntax=127.0.0.1:9/docker/dockerfile:1\n" + SHELL, "or remove that line"),
        ("\ufeff" + SHELL.replace("\n", "\r\n") + "RUN exit 3\r\n", "ended with exit code"),
        (SHELL + f"RUN : {nonce()}; nosuchprogram\n", "is not in the image"),
        (
            SHELL + f"RUN : {nonce()}; echo 'Temporary failure resolving deb.debian.org' >&2; exit 100\n",
            "no working DNS",
        ),
    ],
    ids=["stage", "context", "flag", "instruction", "ARG", "registry", "syntax", "CRLF", "127", "DNS"],
)
async def test_the_remedy_of_a_mistake(build: Build, dockerfile: str, words: str) -> None:
    """Promise: the message of a failed build says what to do in that very situation."""
    error = await failure(build, dockerfile)
    assert words in error.message


async def test_a_talkative_step_is_kept_or_its_clip_is_said(build: Build) -> None:
    """Promise: 60,000 lines arrive, or the log says that the builder clipped them."""
    sink = MemorySink()
    lines = 60_000
    command = f"busybox seq {lines} | busybox sed 's/$/ lines of an ordinary long build log/'"
    await build({"Dockerfile": SHELL + f"RUN : {nonce()}; {command}\n"}, sink)
    kept = sum(text.endswith("of an ordinary long build log") for _, _, text in sink.lines)
    assert kept == lines or "[output clipped" in sink.text
