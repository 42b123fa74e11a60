"""The real worker process, but for its builder: one that a test controls through files of a folder.

    python -m tests.integration.peer_worker --config worker.toml

`PEER_FOLDER`: a build appends "<build_id> <attempt>" to `attempts` when it begins, and ends once the file `go` exists.
"""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from build.util.run import run_service
from pkg.builders.port import BuildSink, BuildSpec, BuiltImage
from pkg.images import ImageRef
from pkg.lifecycle import Runner
from pkg.telemetry import LogStream
from svc.worker.config import WorkerConfig
from svc.worker.run import open_dependencies, own_the_signals, start


class FileBuilder:
    """See the module."""

    name = "the Docker engine"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        await sink.line("s1", LogStream.STDOUT, f"attempt {spec.attempt}")
        with (self._folder / "attempts").open("a") as file:
            file.write(f"{spec.build_id} {spec.attempt}\n")
        while not (self._folder / "go").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        return BuiltImage(
            image_ref=ImageRef.on_engine(f"sha256:{spec.build_id[-8:]}"), name=spec.image_name, platform="linux/amd64"
        )


async def run(config: WorkerConfig, runner: Runner) -> None:
    own_the_signals(runner)
    deps = await open_dependencies(config, runner)
    await start(replace(deps, builder=FileBuilder(Path(os.environ["PEER_FOLDER"]))), runner)


if __name__ == "__main__":
    run_service("worker", WorkerConfig, run)
