"""Pulls of images: in the background, one for each reference, however many instances wait for it."""

import asyncio
import time
from collections.abc import Callable

from pkg.docker.streams import EngineStreams
from pkg.errors import SealiftError
from pkg.images import ImageRef
from svc.krane.runtime.docker import pull_failures
from svc.krane.runtime.port import PendingError

PULL_TIMEOUT_S = 600
MAX_PULLS = 100
UNWANTED_S = 30.0  # the controller asks every second while an instance waits


class Pull:
    """One pull under way, or ended and not requested since."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.deployments: set[str] = set()
        self.wanted_at = 0.0


class ImagePulls:
    """The image pulls of one engine. `on_end` is called with each deployment whose pull has ended. `close` it."""

    def __init__(self, streams: EngineStreams, on_end: Callable[[str], None]) -> None:
        self._streams = streams
        self._on_end = on_end
        self._pulls: dict[str, Pull] = {}

    def require(self, image_ref: str, deployment_id: str) -> PendingError | SealiftError:
        """The error of an instance whose image is absent; starts a pull unless one is under way.

        The failure of a pull is returned once; the next call starts another pull.
        """
        pull = self._pulls.get(image_ref)
        if pull is not None and pull.task.done():
            del self._pulls[image_ref]
            error = None if pull.task.cancelled() else pull.task.exception()
            if isinstance(error, SealiftError):
                return error
            pull = None  # it is here, and has been removed since
        if pull is None:
            if len(self._pulls) >= MAX_PULLS:
                return PendingError("", f"waits to pull image {image_ref}: {MAX_PULLS} others are being pulled")
            pull = Pull(asyncio.create_task(self._run(image_ref), name=f"pull {image_ref}"))
            pull.task.add_done_callback(lambda _: self._ended(image_ref))
            self._pulls[image_ref] = pull
        return self._waits(image_ref, pull, deployment_id)

    def pending(self, image_ref: str, deployment_id: str) -> PendingError | None:
        """The error of an instance whose image is being pulled; None while it is not."""
        pull = self._pulls.get(image_ref)
        return None if pull is None or pull.task.done() else self._waits(image_ref, pull, deployment_id)

    async def drop_unwanted(self) -> None:
        """Ends the pulls that were not requested recently."""
        longest_ago = time.monotonic() - UNWANTED_S
        await self._drop([image_ref for image_ref, pull in self._pulls.items() if pull.wanted_at < longest_ago])

    async def close(self) -> None:
        """Ends all pulls."""
        await self._drop(list(self._pulls))

    def _waits(self, image_ref: str, pull: Pull, deployment_id: str) -> PendingError:
        pull.deployments.add(deployment_id)
        pull.wanted_at = time.monotonic()
        return PendingError("", f"pulling image {image_ref}")

    async def _drop(self, image_refs: list[str]) -> None:
        tasks = [self._pulls.pop(image_ref).task for image_ref in image_refs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, image_ref: str) -> None:
        for deployment_id in self._pulls[image_ref].deployments if image_ref in self._pulls else ():
            self._on_end(deployment_id)

    async def _run(self, image_ref: str) -> None:
        name, tag = pull_failures.name_and_version(ImageRef.parse(image_ref))
        try:
            async with asyncio.timeout(PULL_TIMEOUT_S):
                async for message in self._streams.pull(name, tag):
                    if "error" in message:
                        raise pull_failures.pull_failed(image_ref, str(message["error"]))
        except TimeoutError as error:
            raise pull_failures.pull_failed(image_ref, f"not complete after {PULL_TIMEOUT_S} s") from error
