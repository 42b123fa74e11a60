"""Follows the api's desired-state feed for ever, from wherever the state in force ends."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import grpc.aio

from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import Change, DesiredState, FeedError
from svc.krane.metrics import KraneMetrics

log = logging.getLogger(__name__)

SILENCE_S = 35.0  # the api sends a keepalive every 10 s


class Feed:
    """Applies every message to the state in force, then calls `on_change`, and only then requests more.

    The cursor is the version of the state itself, so it never runs ahead of what was applied.
    """

    def __init__(
        self,
        api: ClusterApi,
        region: str,
        desired: DesiredState,
        on_change: Callable[[Change], None],
        metrics: KraneMetrics,
        silence_s: float = SILENCE_S,
        replica_id: str = "",
    ) -> None:
        self._api = api
        self._region = region
        self._desired = desired
        self._on_change = on_change
        self._metrics = metrics
        self._silence_s = silence_s
        self._replica_id = replica_id
        self._told: set[str] = set()

    async def run(self) -> None:
        """Follows until cancelled; every break is followed by a jittered wait and a new stream."""
        backoff = Backoff(0.1, 5)
        while True:
            try:
                await self._follow(backoff)
                log.info("the api ended the desired-state feed; asking again")
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details())
                log.warning("the desired-state feed broke; asking again", extra=extra)
            except TimeoutError:
                log.warning("the desired-state feed is silent; asking again", extra=fields(silence_s=self._silence_s))
            except FeedError as error:
                self._desired.is_partial = True
                log.warning("the desired-state feed broke its rules; asking for all", extra=fields(error=str(error)))
            finally:
                self._metrics.feed_connected(is_connected=False)
                self._desired.abandon_staged()
            await asyncio.sleep(backoff.next_s())

    async def _follow(self, backoff: Backoff) -> None:
        request = pb.WatchDesiredStateRequest(
            region=self._region,
            epoch=self._desired.epoch,
            after_version=0 if self._desired.is_partial else self._desired.version,
            capabilities=sorted(self._desired.capabilities),
            replica_id=self._replica_id,
        )
        stream = cast("AsyncGenerator[pb.WatchDesiredStateResponse, None]", self._api.watch_desired_state(request))
        async with aclosing(stream):
            while True:
                async with asyncio.timeout(self._silence_s):
                    message = await anext(stream, None)
                if message is None:
                    return
                self._metrics.feed_connected(is_connected=True)
                backoff.reset()
                if unsupported := self._desired.unsupported(message):
                    self._note_unsupported(unsupported, message.version)
                change = self._desired.apply(message)
                if change is not None:
                    self._on_change(change)

    def _note_unsupported(self, what: str, version: int) -> None:
        self._metrics.feed_unsupported(what)
        if what not in self._told:
            self._told.add(what)
            log.warning(
                "the feed has what this krane does not support: upgrade krane",
                extra=fields(reason=what, version=version),
            )
