"""A second builder, which runs a Dockerfile's commands in this machine's shell, takes its section and one line.

It passes the tests of every builder, and nothing outside of this file knows it: kinds of failures, redaction and what
users read come from the port.
"""

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, TypeAlias

import aiohttp
import pytest

from pkg.builders.contract import BuilderContract, spec
from pkg.builders.factory import AnyBuilderConfig
from pkg.builders.port import Builder, BuilderConfig, BuildSink, BuildSpec, BuiltImage
from pkg.builders.testing import MemorySink
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind, away_message
from pkg.config import ConfigError, Strict, load
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.output.redact import Redactor
from pkg.registry import RegistryConfig
from pkg.storage.disk.testing import served
from pkg.storage.port import ObjectStore
from pkg.telemetry.events import BuildStep, LogStream, StepState


class ShellBuilder:
    """`Builder` without images: it runs what RUN says and keeps a digest of the Dockerfile."""

    name = "the shell"

    def __init__(self) -> None:
        self.images: dict[ImageRef, ImageRef] = {}

    async def check(self) -> None:
        if not Path("/bin/sh").exists():
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, "there is no shell")

    async def close(self) -> None:
        pass

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        ports: list[int] = []
        redactor = Redactor(spec.secrets.values())
        dockerfile = await self._dockerfile(spec)
        for number, line in enumerate(dockerfile.splitlines(), 1):
            word, _, rest = line.partition(" ")
            match word:
                case "FROM" | "COPY":
                    continue
                case "EXPOSE":
                    ports += [int(port.partition("/")[0]) for port in rest.split() if not port.endswith("/udp")]
                case "RUN":
                    await self._run(f"s{number}", line, rest, redactor, sink)
                case _:
                    raise BuildFailed(FailureKind.DOCKERFILE_INVALID, f"{word} begins no instruction", line=number)
        ref = ImageRef.on_engine(f"sha256:{hashlib.sha256(dockerfile.encode()).hexdigest()}")
        self.images[spec.image_name] = ref
        return BuiltImage(ref, spec.image_name, "linux/amd64", exposed_ports=tuple(sorted(ports)))

    async def _dockerfile(self, spec: BuildSpec) -> str:
        try:
            async with aiohttp.ClientSession() as http, http.get(spec.sign_context_url(with_etag=True)) as response:
                packed = await response.read()
        except aiohttp.ClientError as error:
            raise BuilderUnavailable(FailureKind.CONTEXT_UNAVAILABLE, type(error).__name__) from None
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            if spec.dockerfile_path not in archive.getnames():
                raise BuildFailed(FailureKind.DOCKERFILE_MISSING, f"there is no {spec.dockerfile_path}")
            file = archive.extractfile(spec.dockerfile_path)
            assert file is not None
            return file.read().decode()

    async def _run(self, step_id: str, line: str, command: str, redactor: Redactor, sink: BuildSink) -> None:
        name = redactor.text(line)
        await sink.step(BuildStep(step_id, name, StepState.STARTED, 1))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", command, stdout=pipe, stderr=pipe)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.TaskGroup() as group:
                for stream, source in ((LogStream.STDOUT, process.stdout), (LogStream.STDERR, process.stderr)):
                    group.create_task(_copy(step_id, stream, source, redactor, sink))
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await sink.step(BuildStep(step_id, name, StepState.FAILED if code else StepState.COMPLETED, 1, 2))
        if code:
            raise BuildFailed(FailureKind.COMMAND_FAILED, f"{name} ended with exit code {code}", exit_code=code)


async def _copy(
    step_id: str, stream: LogStream, source: asyncio.StreamReader, redactor: Redactor, sink: BuildSink
) -> None:
    while line := await source.readline():
        await sink.line(step_id, stream, redactor.text(line.decode().rstrip("\n")))


class ShellConfig(BuilderConfig):
    """Builds in this machine's shell."""

    backend: Literal["shell"] = "shell"

    def open(self, registry: RegistryConfig | None = None) -> ShellBuilder:
        return ShellBuilder()


# The line of pkg/builders/factory.py, with one more member.
WithShell: TypeAlias = AnyBuilderConfig | ShellConfig


class Config(Strict):
    """A service's."""

    build: WithShell


def read(tmp_path: Path, text: str) -> WithShell:
    (tmp_path / "service.toml").write_text(text)
    return load(tmp_path / "service.toml", Config).build


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return read(tmp_path, '[build]\nbackend = "shell"\n').open()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


@pytest.fixture
def image_name() -> ImageRef:
    return build_image(new_id("proj"), new_id("bld"))


class TestShellBuilder(BuilderContract):
    """All of the contract."""

    async def test_no_step_of_another_project_is_reused(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef
    ) -> None:
        """It has no secrets and keeps no step: what one project has run, another one runs again."""
        for project in ("proj_a", "proj_b"):
            sink = MemorySink()
            lines = "RUN echo ran\n"
            await builder.build(await spec(store, image_name, lines, project_id=project), sink)
            assert "ran" in sink.text


def test_a_builder_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Promise: the refusal lists the builders that exist; the keys of every builder are valid for each."""
    with pytest.raises(ConfigError, match=r"build\.backend: expected one of .*'docker', .*'shell', got 'kaniko'"):
        read(tmp_path, '[build]\nbackend = "kaniko"\n')
    with pytest.raises(ConfigError, match=r"build\.timeout_s: expected 10 to 86400, got 5"):
        read(tmp_path, '[build]\nbackend = "shell"\ntimeout_s = 5\n')
    with pytest.raises(ConfigError, match=r"build\.platform: use linux/amd64 or linux/arm64.*, got 'linux/386'"):
        read(tmp_path, '[build]\nbackend = "shell"\nplatform = "linux/386"\n')


def test_a_builder_that_stays_away_is_called_by_its_name(builder: Builder) -> None:
    """Promise: the advice to the user names the builder in use, also for a kind that this version does not know."""
    assert "Is the shell running?" in away_message(FailureKind.BUILDER_LOST, builder.name, 3)
    assert "is the shell running, and is its disk full?" in away_message("later_kind", builder.name, 3)
