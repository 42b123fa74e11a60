"""Pulls of images: in the background, one for each reference, however many instances wait for it."""

import asyncio
import time
from collections.abc import Callable, Sequence

from pkg.docker.streams import EngineStreams
from pkg.errors import SealiftError, Unavailable
from pkg.images import ImageRef
from pkg.images.config import RegistryLogin, login_for
from pkg.output.redact import Redactor
from svc.krane.runtime import pull_failures
from svc.krane.runtime.port import PendingError

PULL_TIMEOUT_S = 600
MAX_PULLS = 100
UNWANTED_S = 30.0  # the controller asks every second while an instance waits
RETRY_S: tuple[float, float] = (2.0, 30.0)  # the first and the longest pause after a failure that may pass


class Pull:
    """One pull under way, or ended and not requested since.

    Attributes:
        deployments: that asked for it until it ended.
        failures: of it and of those before it, in a row.
    """

    def __init__(self, task: asyncio.Task[None], failures: int) -> None:
        self.task = task
        self.deployments: set[str] = set()
        self.wanted_at = 0.0
        self.ended_at = 0.0
        self.failures = failures

    @property
    def error(self) -> SealiftError | None:
        """Why it failed; None while it runs and after it succeeded."""
        if not self.task.done() or self.task.cancelled():
            return None
        error = self.task.exception()
        return error if isinstance(error, SealiftError) else None

    @property
    def has_succeeded(self) -> bool:
        """Whether the engine has the image by it."""
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None


class ImagePulls:
    """The image pulls of one engine. `on_end` is called with each deployment whose pull has ended. `close` it.

    Args:
        logins: with which the engine pulls from their registries; from all others it pulls without one.
    """

    def __init__(
        self, streams: EngineStreams, on_end: Callable[[str], None], logins: Sequence[RegistryLogin] = ()
    ) -> None:
        self._streams = streams
        self._on_end = on_end
        self._logins = logins
        self._pulls: dict[str, Pull] = {}

    def is_done(self, image_ref: str, deployment_id: str) -> bool:
        """Whether a pull that this deployment asked for has just succeeded."""
        pull = self._pulls.get(image_ref)
        return pull is not None and pull.has_succeeded and deployment_id in pull.deployments

    def require(self, image_ref: str, deployment_id: str) -> PendingError | SealiftError:
        """The error of an instance whose image has to be pulled; starts a pull unless one is under way.

        A failure that no retry heals is returned once; the next call starts another pull. One that may pass
        (Unavailable) is returned until the next pull is due, seconds later.
        """
        pull = self._pulls.get(image_ref)
        if pull is not None and isinstance(pull.error, Unavailable) and self._is_pausing(pull):
            pull.wanted_at = time.monotonic()
            return pull.error
        failures = 0
        if pull is not None and pull.task.done():
            del self._pulls[image_ref]
            if pull.error is not None and not isinstance(pull.error, Unavailable):
                return pull.error
            failures = pull.failures + 1 if pull.error is not None else 0
            pull = None
        if pull is None:
            if len(self._pulls) >= MAX_PULLS:
                return PendingError("", f"waits to pull image {image_ref}: {MAX_PULLS} others are being pulled")
            pull = Pull(asyncio.create_task(self._run(image_ref), name=f"pull {image_ref}"), failures)
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

    @staticmethod
    def _is_pausing(pull: Pull) -> bool:
        first, longest = RETRY_S
        return time.monotonic() < pull.ended_at + min(longest, first * 2.0**pull.failures)

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
        pull = self._pulls.get(image_ref)
        if pull is None:
            return
        pull.ended_at = time.monotonic()
        for deployment_id in pull.deployments:
            self._on_end(deployment_id)

    async def _run(self, image_ref: str) -> None:
        ref = ImageRef.parse(image_ref)
        name, tag = pull_failures.name_and_version(ref)
        login = login_for(self._logins, ref)
        # a registry may repeat what it was sent, and the engine its words
        redactor = Redactor(login.secrets() if login else ())
        try:
            async with asyncio.timeout(PULL_TIMEOUT_S):
                async for message in self._streams.pull(name, tag, login):
                    if "error" in message:
                        username = "" if login is None else login.username
                        said = redactor.text(str(message["error"]))
                        raise pull_failures.pull_failed(image_ref, said, username)
        except TimeoutError as error:
            raise pull_failures.pull_failed(image_ref, f"not complete after {PULL_TIMEOUT_S} s") from error
