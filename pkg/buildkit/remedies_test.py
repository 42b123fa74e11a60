"""The advice to the user about a failed build: texts of real engines and of programs that run in a build."""

import pytest

from pkg.buildkit.classification import classify
from pkg.buildkit.messages import Facts, explain
from pkg.builds.failures import FailureKind

COPY_FROM = "[stage-1 5/9] COPY --from=builder /app/edusense.bin /app"


@pytest.mark.parametrize(
    ("text", "step", "kind", "expected"),
    [
        # COPY --from: the stage is at fault, not the context
        (
            'failed to compute cache key: "/app/edusense.bin" not found: not found',
            COPY_FROM,
            FailureKind.FILE_MISSING,
            "from 'builder' that is not there",
        ),
        (
            (
                "failed to compute cache key: failed to calculate checksum of ref zp2w::i1p0: "
                '"/app/edusense.bin": not found'
            ),
            COPY_FROM,
            FailureKind.FILE_MISSING,
            "check what the steps of 'builder' make",
        ),
        (
            'failed to compute cache key: failed to calculate checksum of ref a::b: "/ui-v2": not found',
            "[2/3] COPY ui-v2 .",
            FailureKind.FILE_MISSING,
            ".dockerignore, or without one what git ignores",
        ),
        # engines of different ages
        (
            "dockerfile parse error line 23: Unknown flag: link",
            "",
            FailureKind.DOCKERFILE_INVALID,
            "does not know --link",
        ),
        (
            "dockerfile parse error on line 3: unknown flag: --nope",
            "",
            FailureKind.DOCKERFILE_INVALID,
            "does not know --nope",
        ),
        (
            "dockerfile parse error line 10: unknown instruction: SET",
            "",
            FailureKind.DOCKERFILE_INVALID,
            "heredoc (<<EOF), this builder does not know those",
        ),
        (
            "dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)",
            "",
            FailureKind.DOCKERFILE_INVALID,
            "FORM begins no instruction",
        ),
        ("dockerfile parse error: file with no instructions", "", FailureKind.DOCKERFILE_INVALID, "Begin it with FROM"),
        ("the Dockerfile (Dockerfile) cannot be empty", "", FailureKind.DOCKERFILE_INVALID, "Begin it with FROM"),
        (
            "base name (${BASE}) should not be blank",
            "",
            FailureKind.DOCKERFILE_INVALID,
            "give the ARG before it a value",
        ),
        (
            'failed to parse stage name "python:": invalid reference format',
            "",
            FailureKind.DOCKERFILE_INVALID,
            "--build-arg",
        ),
        # a platform without a value: https://github.com/NodeBB/NodeBB/issues/12256
        (
            'failed to parse platform : "" is an invalid component of "": platform specifier component must match',
            "",
            FailureKind.PLATFORM,
            "an ARG of that name before the first FROM takes it away",
        ),
        (
            "no match for platform in manifest: not found",
            "[internal] load metadata for docker.io/library/python:3.12",
            FailureKind.PLATFORM,
            "Choose one that the base image offers",
        ),
        (
            "open /var/lib/docker/overlay2/8f5dc0e4/merged/etc/passwd: no such file or directory",
            "[3/3] COPY --chown=nosuch:grp app /b",
            FailureKind.DOCKERFILE_INVALID,
            "not valid: open /etc/passwd: no such file or directory. --chown names a user or group which the image",
        ),
        (
            "failed to load cache key: unknown scheme git: not found",
            "[3/4] ADD https://github.com/a/b.git#main /src",
            FailureKind.FETCH_FAILED,
            "The builder has no git",
        ),
        # a stage that no FROM names: https://github.com/docker/cli/issues/2496
        (
            'failed to load cache key: failed to do request: Head "https://registry-1.docker.io/v2/library/biulder/'
            'manifests/latest": dial tcp: lookup registry-1.docker.io: no such host',
            "FROM docker.io/library/biulder:latest",
            FailureKind.BASE_IMAGE,
            "the image docker.io/library/biulder:latest could not be fetched",
        ),
        (
            "pull access denied, repository does not exist or may require authorization",
            "[internal] load metadata for docker.io/library/biulder:latest",
            FailureKind.REGISTRY_AUTH,
            "If 'biulder' is to be a stage of this Dockerfile: none has that name (FROM ... AS biulder)",
        ),
        # images
        (
            "pulling from host r.example.com failed with status code [manifests 3.12]: 500 Internal Server Error",
            "[internal] load metadata for r.example.com/lib/python:3.12",
            FailureKind.BASE_IMAGE,
            "The registry has a fault of its own",
        ),
        (
            (
                "failed to do request: Head "
                '"https://registry-1.docker.io/v2/library/python/manifests/3.6": dial tcp: lookup '
                "registry-1.docker.io: no such host"
            ),
            "[internal] load metadata for docker.io/library/python:3.6",
            FailureKind.BASE_IMAGE,
            "can't reach the registry",
        ),
        (
            (
                "failed to resolve source metadata for docker.io/library/python:3.99: "
                "docker.io/library/python:3.99: not found"
            ),
            "[internal] load metadata for docker.io/library/python:3.99",
            FailureKind.BASE_IMAGE,
            "no such image or tag",
        ),
        (
            "toomanyrequests: You have reached your unauthenticated pull rate limit",
            "[internal] load metadata for docker.io/library/x",
            FailureKind.BASE_IMAGE,
            "limit of pulls is reached",
        ),
        (
            (
                "pull access denied, repository does not exist or may require authorization: server "
                "message: insufficient_scope: authorization failed"
            ),
            "",
            FailureKind.REGISTRY_AUTH,
            "needs a login, which is not supported",
        ),
        (
            "failed to do request: Head https://r.example/v2/: x509: certificate signed by unknown authority",
            "",
            FailureKind.BASE_IMAGE,
            "does not trust",
        ),
        (
            (
                "failed to do request: Head "
                "https://registry-1.docker.io/v2/docker/dockerfile/manifests/1: dial tcp: i/o timeout"
            ),
            "resolve image config for docker.io/docker/dockerfile:1",
            FailureKind.BASE_IMAGE,
            "or remove that line",
        ),
        (
            (
                "failed to do request: Head "
                "https://registry-1.docker.io/v2/docker/dockerfile/manifests/1: dial tcp: i/o timeout"
            ),
            "resolve image config for docker-image://docker.io/docker/dockerfile:1",
            FailureKind.BASE_IMAGE,
            "the image docker.io/docker/dockerfile:1 that reads the Dockerfile",
        ),
    ],
)
def test_the_remedy_is_named(text: str, step: str, kind: FailureKind, expected: str) -> None:
    """Promise: real texts of engines from 20.10 on are explained with their cause and the next step."""
    assert classify(text, failed_step=step) is kind
    explanation = explain(kind, Facts(text=text, failed_step=step))
    assert expected in explanation


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        (
            "E: Failed to fetch http://deb.debian.org/x  Temporary failure resolving 'deb.debian.org'",
            100,
            "could not be resolved",
        ),
        ("npm error code EAI_AGAIN", 1, "could not be resolved"),
        ("pip: NameResolutionError(: Failed to resolve 'index.example')", 1, "could not be resolved"),
        ("curl: (6) Could not resolve host: example.com", 6, "could not be resolved"),
        ("wget: bad address 'example.com'", 1, "could not be resolved"),
        ("npm ERR! code ENOSPC", 228, "disk is full"),
        ("exec /bin/sh: exec format error", 255, "another kind of processor"),
        ("/bin/sh: ./run.sh: /bin/bash^M: bad interpreter: No such file or directory", 126, "Windows line ends"),
        ("FATAL ERROR: JavaScript heap out of memory", 134, "ran out of memory"),
        ("/bin/sh: 1: yarn: not found", 127, "is not in the image"),
        ("/bin/sh: 1: ./run.sh: Permission denied", 126, "may not be executed"),
        ("", 139, "crashed"),
        ("make: *** no rule to make target", 2, "Fix the command or what it needs"),
    ],
)
def test_the_output_of_a_command_is_read(line: str, code: int, expected: str) -> None:
    """Promise: what a shell or a package manager says is turned into the next step, with the line quoted."""
    facts = Facts(text=f"exit code: {code}", failed_step="RUN x", exit_code=code, output=("compiling", line, "gave up"))
    assert expected in explain(FailureKind.COMMAND_FAILED, facts)


def test_paths_of_the_builder_are_no_part_of_a_message() -> None:
    """Promise: a missing file is named as the Dockerfile names it, not by where the engine looked for it."""
    at = "/var/lib/docker/tmp/buildkit-mount43827746"
    text = f"failed to compute cache key: failed to walk {at}/base: lstat {at}/base: no such file or directory"
    explanation = explain(FailureKind.FILE_MISSING, Facts(text=text, failed_step="[2/2] COPY base/hooks /x/"))
    assert "failed to walk /base: lstat /base: no such file or directory" in explanation
