"""One list-watch loop: keeps a listener equal to what the API server has of one kind.

It survives what a plain watch does not: a server that is away at the reconnect, streams that break or end at once,
versions that are too old (410), a connection that is dead without a word. All its times are of the monotonic clock.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
from lightkube.core.resource import Resource

from pkg.errors import Unavailable
from pkg.observability.logging import fields
from svc.krane.runtime.kubernetes import wire
from svc.krane.runtime.kubernetes.api import ApiError, KubeApi, is_unknown_version

log = logging.getLogger(__name__)

WATCH_S = 30  # then the server ends the watch: one that is dead without a word is found out soon
SILENCE_S = 45.0
DELAY_S = 0.2
MAX_DELAY_S = 5.0

W = TypeVar("W", wire.Pod, wire.StatefulSet, wire.Autoscaler)


class Reflector(Generic[W]):
    """`run` it as a task of its own.

    Args:
        selector: by labels.
        on_all: takes the complete list.
        on_one: takes an object that was added or changed (False) or deleted (True).
    """

    def __init__(
        self,
        api: KubeApi,
        kind: type[Resource],
        as_: type[W],
        selector: str,
        on_all: Callable[[Sequence[W]], None],
        on_one: Callable[[W, bool], None],
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._api = api
        self._kind = kind
        self._as: type[W] = as_
        self._selector = selector
        self._on_all: Callable[[Sequence[W]], None] = on_all
        self._on_one: Callable[[W, bool], None] = on_one
        self._silence_s = silence_s
        self._version: str | None = None
        self._lost_at: float | None = time.monotonic()
        self.synced = asyncio.Event()
        self.relists = 0

    @property
    def lost_s(self) -> float:
        """For how long it has had no connection to the server, in seconds; 0 while it has one."""
        return 0.0 if self._lost_at is None else time.monotonic() - self._lost_at

    async def run(self) -> None:
        """Follows until cancelled. A fault is logged and the server asked again, with back-off."""
        delay_s = DELAY_S
        while True:
            started_at = time.monotonic()
            try:
                if self._version is None:
                    await self.list_all()
                await self._watch(self._version or "")
            except ApiError as error:
                self._failed(error)
                if error.code == 410 or is_unknown_version(error):
                    self._version = None
            except (Unavailable, TimeoutError) as error:
                self._failed(error)
            except Exception as error:  # what the server sends must not end the loop
                log.exception("a watch broke; listing again", extra=fields(kind=self._as.__name__))
                self._failed(error)
                self._version = None
            if time.monotonic() - started_at > MAX_DELAY_S:
                delay_s = DELAY_S
            await asyncio.sleep(delay_s * random.uniform(0.5, 1))  # noqa: S311 - spreads requests
            delay_s = min(delay_s * 2, MAX_DELAY_S)

    async def list_all(self) -> None:
        """Lists everything once. Raises Unavailable, ApiError."""
        items: list[W] = []
        params = {"labelSelector": self._selector}
        while True:
            page, version, more = await self._api.list_page(self._kind, params)
            items += [msgspec.json.decode(raw, type=self._as) for raw in page]
            if not more:
                break
            params["continue"] = more
        self.relists += 1
        self._version = version
        self._connected()
        self._on_all(items)
        self.synced.set()

    async def _watch(self, version: str) -> None:
        params = {"labelSelector": self._selector, "resourceVersion": version, "timeoutSeconds": str(WATCH_S)}
        # The bound holds for the answer's first byte, too: a server may take a connection and say nothing at all.
        async with asyncio.timeout(self._silence_s) as silence, self._api.watch(self._kind, params) as lines:
            self._connected()
            async for line in lines:
                silence.reschedule(asyncio.get_running_loop().time() + self._silence_s)
                self._take(line)

    def _take(self, line: str) -> None:
        if not line:
            return
        event = msgspec.json.decode(line, type=wire.WatchEvent)
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=wire.Status)
            raise ApiError(status.code, status.reason, status.message)
        if event.type == "BOOKMARK":  # its object is empty but for the version: null where lists are required
            self._version = msgspec.json.decode(event.object, type=wire.Anything).metadata.resource_version
            return
        found = msgspec.json.decode(event.object, type=self._as)
        self._version = found.metadata.resource_version
        self._on_one(found, event.type == "DELETED")

    def _connected(self) -> None:
        if self._lost_at is not None and self.synced.is_set():
            log.info("the API server answers again", extra=fields(kind=self._as.__name__))
        self._lost_at = None

    def _failed(self, error: Exception) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        log.info("a watch ended; asking again", extra=fields(kind=self._as.__name__, error=str(error)))
