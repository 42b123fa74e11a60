"""A Builder that a test controls."""

import asyncio
from collections.abc import Callable

from pkg.builders.port import BuildSink, BuildSpec, BuiltImage
from pkg.images import ImageRef
from pkg.telemetry import BuildStep, LogStream, StepState


class FakeBuilder:
    """Builds at once, unless `hold` or `outcome` say otherwise.

    Attributes:
        specs: every attempt it was given.
        running: how many it runs now; `most` how many at once so far.
        cancelled: build ids whose attempt was cancelled.
        hold: cleared, builds wait until it is set.
        outcome: called with each spec; may raise; returns the image_ref.
    """

    name = "the Docker engine"

    def __init__(self) -> None:
        self.specs: list[BuildSpec] = []
        self.running = 0
        self.most = 0
        self.cancelled: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.outcome: Callable[[BuildSpec], ImageRef] = lambda spec: ImageRef.on_engine(f"sha256:{spec.build_id[-8:]}")

    async def check(self) -> None:
        """See `Builder.check`."""

    async def close(self) -> None:
        """See `Builder.close`."""

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        """See `Builder.build`."""
        self.specs.append(spec)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await sink.step(BuildStep("s1", "[1/1] RUN true", StepState.STARTED, started_at=1))
            await sink.line("s1", LogStream.STDOUT, f"hello from attempt {spec.attempt}")
            await self.hold.wait()
            image_ref = self.outcome(spec)
            await sink.step(BuildStep("s1", "[1/1] RUN true", StepState.COMPLETED, started_at=1, ended_at=2))
            return BuiltImage(image_ref=image_ref, name=spec.image_name, platform="linux/amd64")
        except asyncio.CancelledError:
            self.cancelled.append(spec.build_id)
            raise
        finally:
            self.running -= 1
