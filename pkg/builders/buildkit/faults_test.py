"""Bad input and faults: each ends with words of its own, on a real modern BuildKit."""

import asyncio

import pytest
from aiohttp import web

from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.buildkit.conftest import Build
from pkg.builders.testing import SHELL, MemorySink, context_at, nonce
from pkg.builders.testing_mistakes import MISTAKES
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import Front, unix_front
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.config import Secret
from pkg.images import ImageRef, build_image
from pkg.registry import RegistryConfig
from pkg.registry.testing import DockerRegistry
from pkg.registry.testing_front import faulty_front, refusal
from pkg.storage.disk import DiskStore
from pkg.testing.wait import WAIT_S

STAGES = SHELL.replace("scratch", "scratch AS made") + "FROM scratch\nCOPY --from=made /dist/app /app\n"
BIG = SHELL + "# a comment that makes it long\n" * 2000  # 62 kB


@pytest.mark.parametrize(
    ("dockerfile", "kind", "line", "words"),
    [
        ("FROM 127.0.0.1:9/nothere:1\n", FailureKind.BASE_IMAGE, 1, "can't reach the registry"),
        ("FROM nosuch.invalid/nothere:1\n", FailureKind.BASE_IMAGE, 1, "can't reach the registry"),
        ("FROM REGISTRY/apps/nothere:1\n", FailureKind.REGISTRY_AUTH, 1, "There is no such image, or it needs a login"),
        (f"{BIG}RUN : {nonce()}; exit 5\n", FailureKind.COMMAND_FAILED, 2004, "(line 2004) ended with exit code 5"),
        (f"{BIG}FOO bar\n", FailureKind.DOCKERFILE_INVALID, 2004, "FOO begins no instruction"),
        (f"{BIG}COPY nothere /x\n", FailureKind.FILE_MISSING, 2004, "what git ignores, may leave it out"),
        (f"{SHELL}COPY --nope=1 a /x\n", FailureKind.DOCKERFILE_INVALID, 4, "does not know --nope"),
        ("ARG BASE\nFROM ${BASE}\n", FailureKind.DOCKERFILE_INVALID, 2, "give the ARG before it a value"),
        ("# syntax=127.0.0.1:9/docker/dockerfile:1\n" + SHELL, FailureKind.BASE_IMAGE, 1, "or remove that line"),
        (STAGES, FailureKind.FILE_MISSING, 5, "takes a file from 'made' that is not there"),
        (f"{SHELL}RUN : {nonce()}; nosuchprogram\n", FailureKind.COMMAND_FAILED, 4, "is not in the image"),
        (f"{SHELL}RUN --mount=type=secret,id=tok,required=true :\n", FailureKind.SECRET_MISSING, 4, "--secret"),
        (f"{SHELL}ADD http://127.0.0.1:9/x /x\n", FailureKind.FETCH_FAILED, None, "Check the address"),
        ("", FailureKind.DOCKERFILE_INVALID, None, "Begin it with FROM"),
    ],
    ids=[
        "registry away", "no host", "no image", "last line", "big invalid", "big missing", "flag", "ARG", "syntax",
        "stage", "127", "secret", "ADD", "empty",
    ],
)  # fmt: skip
async def test_mistakes(
    build: Build, token_registry: DockerRegistry, dockerfile: str, kind: FailureKind, line: int | None, words: str
) -> None:
    """Promise: kind, line and next step are known of each mistake, and the Dockerfile is not in the message."""
    with pytest.raises(BuildFailed) as caught:
        await build(dockerfile.replace("REGISTRY", token_registry.host))
    assert caught.value.kind is kind, caught.value.message
    assert (caught.value.line, words in caught.value.message) == (line, True), caught.value.message
    assert len(caught.value.message) < 1500


@pytest.mark.parametrize("name", MISTAKES)
async def test_mistakes_that_many_make(build: Build, name: str) -> None:
    """Promise: the message of a failed build names the mistake, as with the Docker engine."""
    mistake = MISTAKES[name]
    with pytest.raises(BuildFailed) as caught:
        await build(mistake.dockerfile)
    assert (caught.value.kind, mistake.words in caught.value.message) == (mistake.kind, True), caught.value.message


async def test_a_target_that_is_not_there(build: Build) -> None:
    """Promise: the stage is named."""
    with pytest.raises(BuildFailed, match=r"build\.target_missing.*'nope'"):
        await build(SHELL, target="nope")


async def test_a_platform_without_a_worker(build: Build) -> None:
    """Promise: it is refused before anything runs, and says what the builder has."""
    sink = MemorySink()
    with pytest.raises(BuildFailed, match=r"build\.platform.*no worker for linux/s390x; it builds for linux/"):
        await build(SHELL, sink, platform="linux/s390x")
    assert sink.steps == []


async def test_long_and_odd_lines(build: Build) -> None:
    """Promise: a line of 300 kB is cut with a mark, bytes that are no text are replaced, and what follows is there."""
    sink = MemorySink()
    run = r"RUN busybox yes x | busybox head -n 300000 | busybox tr -d '\n'; echo; printf 'a\377b\n'; echo end "
    await build(f"{SHELL}{run}{nonce()}\n", sink)
    lines = [text for _, _, text in sink.lines]
    assert max(map(len, lines)) <= 16 << 10
    assert "a\ufffdb" in lines
    assert any(text.startswith("end ") for text in lines)


async def test_an_expired_context(build: Build, store: DiskStore) -> None:
    """Promise: the store's refusal is said as such, without the URL, and the build is retried."""
    url = store.presign_get("contexts/proj_a/gone.tar.gz", ttl_s=60)
    with pytest.raises(BuilderUnavailable, match=r"build\.context_unavailable.*does not have it any more \(404\)"):
        await build(SHELL, sign_context_url=context_at(url))
    with pytest.raises(BuilderUnavailable, match=r"refused its signed URL \(403\): it has expired") as caught:
        await build(SHELL, sign_context_url=context_at(url.replace("signature=", "signature=0")))
    assert "signature" not in caught.value.message.replace("signed", "")


async def test_a_full_disk(build: Build, token_registry: DockerRegistry) -> None:
    """Promise: a builder without space is told from a broken command, and the build is retried."""
    daemon = BuildkitDaemon(data_mib=48)
    try:
        await asyncio.to_thread(daemon.start)
        async with unix_front(daemon.socket, daemon.folder / "front.sock") as front:
            builder = BuildkitConfig(address=front.address, sbom_scanner="").open(token_registry.config())
            with pytest.raises((BuilderUnavailable, BuildFailed)) as caught:
                await build(f"{SHELL}RUN : {nonce()}; busybox dd if=/dev/zero of=/big bs=1M count=100\n", using=builder)
            assert "disk" in caught.value.message
            assert "full" in caught.value.message
    finally:
        await asyncio.to_thread(daemon.stop)


async def test_a_machine_that_vanishes(build: Build, front: Front) -> None:
    """Promise: a daemon that is gone in the middle of a build ends the attempt at once, and it is retried."""
    sink = MemorySink()
    building = asyncio.create_task(build(f"{SHELL}RUN echo begun {nonce()}; busybox sleep 300\n", sink))
    await sink.saw("begun")
    await front.vanish()
    with pytest.raises(BuilderUnavailable, match=r"build\.builder_lost"):
        await asyncio.wait_for(building, WAIT_S)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "UNAUTHORIZED", FailureKind.PUSH_UNAUTHORIZED),
        (403, "DENIED", FailureKind.PUSH_DENIED),
        (404, "NAME_UNKNOWN", FailureKind.PUSH_NO_REPOSITORY),
        (413, "SIZE_INVALID", FailureKind.PUSH_TOO_LARGE),
        (429, "TOOMANYREQUESTS", FailureKind.PUSH_RATE_LIMITED),
        (507, "no space left on device", FailureKind.PUSH_REGISTRY_FULL),
    ],
)
async def test_a_registry_that_refuses(
    build: Build, front: Front, open_registry: DockerRegistry, image_name: ImageRef, status: int, code: str,
    kind: FailureKind,
) -> None:  # fmt: skip
    """Promise: each refusal of a push has its own code."""
    async with faulty_front(open_registry.host) as registry:
        registry.fault = lambda method, path: refusal(status, code, "no") if method in ("POST", "PUT") else None
        config = RegistryConfig(url=f"{registry.host}/apps", password=open_registry.config().password)
        builder = BuildkitConfig(address=front.address, sbom_scanner="").open(config)
        with pytest.raises((BuildFailed, BuilderUnavailable)) as caught:
            await build(
                f"{SHELL}RUN : {nonce()}\n", using=builder, image_name=build_image("proj_a", "bld_a", config.url)
            )
    assert caught.value.code == f"build.{kind}", caught.value.message
    assert caught.value.message.startswith("The image was built, but it could not be pushed.")


@pytest.mark.parametrize(
    ("status", "code", "said", "kind", "words"),
    [
        # https://github.com/goharbor/harbor/issues/966
        (401, "UNAUTHORIZED", "unauthorized to access repository: a, action: push", FailureKind.PUSH_DENIED, "project"),
        # https://github.com/gitpod-io/gitpod/issues/1900
        (403, "DENIED", "Your authorization token has expired.", FailureKind.PUSH_UNAUTHORIZED, "may have expired"),
    ],
    ids=["no project", "expired"],
)
async def test_what_a_registry_says_of_a_refusal(
    build: Build, front: Front, token_registry: DockerRegistry, status: int, code: str, said: str, kind: FailureKind,
    words: str,
) -> None:  # fmt: skip
    """Promise: the words of a registry decide, which daemons do not pass on."""
    async with faulty_front(token_registry.host) as registry:

        def fault(method: str, path: str) -> web.Response | None:
            return refusal(status, code, said) if method == "POST" else None

        registry.fault = fault
        config = RegistryConfig(url=f"{registry.host}/apps", password=token_registry.config().password)
        builder = BuildkitConfig(address=front.address, sbom_scanner="").open(config)
        with pytest.raises(BuildFailed) as caught:
            await build(
                f"{SHELL}RUN : {nonce()}\n", using=builder, image_name=build_image("proj_a", "bld_a", config.url)
            )
    assert (caught.value.kind, words in caught.value.message, said in caught.value.message) == (kind, True, True)


async def test_a_registry_that_goes_away_in_the_middle_of_a_push(
    build: Build, front: Front, open_registry: DockerRegistry
) -> None:
    """Promise: the attempt is retried, and the next one pushes what is in the cache."""
    dockerfile = f"{SHELL}RUN : {nonce()}\n"
    async with faulty_front(open_registry.host) as registry:
        config = RegistryConfig(url=f"{registry.host}/apps", password=open_registry.config().password)
        builder = BuildkitConfig(address=front.address, sbom_scanner="").open(config)
        name = build_image("proj_a", f"bld_{nonce()}", config.url)
        registry.holds.clear()
        building = asyncio.create_task(build(dockerfile, using=builder, image_name=name))
        async with asyncio.timeout(WAIT_S):
            await registry.is_holding.wait()
        registry.fault = lambda method, path: refusal(502, "UNAVAILABLE", "bad gateway")
        registry.holds.set()
        with pytest.raises(BuilderUnavailable, match=r"build\.push_registry_away"):
            await asyncio.wait_for(building, 90)
        registry.fault = lambda method, path: None
        assert (await build(dockerfile, using=builder, image_name=name)).name == name


async def test_wrong_credentials(build: Build, front: Front, token_registry: DockerRegistry) -> None:
    """Promise: a password that the token server refuses is said as such, and not shown."""
    config = RegistryConfig(url=f"{token_registry.host}/apps", password=Secret("wrong-secret"))
    builder = BuildkitConfig(address=front.address, sbom_scanner="").open(config)
    with pytest.raises(BuildFailed, match=r"build\.push_unauthorized.*does not accept the credentials") as caught:
        await build(f"{SHELL}RUN : {nonce()}\n", using=builder)
    assert "wrong-secret" not in caught.value.message
