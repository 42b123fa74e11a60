"""Takes the commands that clients ask for in this region, as the api hands them out."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import grpc.aio

from pkg.observability.logging import fields
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.exec_relay import SILENCE_S, ExecRelay
from svc.krane.runtime.port import Runtime

log = logging.getLogger(__name__)

MAX_RUNNING = 200  # the most that the api may be told to allow
STOP_WITHIN_S = 9.0


class Execs:
    """Every replica of a krane takes commands, whether it leads or not."""

    def __init__(self, region: str, replica_id: str, runtime: Runtime, api: ClusterApi) -> None:
        self._request = pb.ServeExecsRequest(region=region, replica_id=replica_id)
        self._runtime = runtime
        self._api = api
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, engine_found: asyncio.Event) -> None:
        """Takes commands until cancelled, which ends those that run."""
        await engine_found.wait()
        backoff = Backoff(0.1, 5)
        try:
            while True:
                try:
                    await self._follow(backoff)
                    log.info("the api ended the stream of commands; asking again")
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # an older api
                        backoff = Backoff(60, 300)
                    extra = fields(grpc_status=error.code().name, error=error.details())
                    log.info("the stream of commands broke; asking again", extra=extra)
                except TimeoutError:
                    log.warning("the stream of commands is silent; asking again", extra=fields(silence_s=SILENCE_S))
                await asyncio.sleep(backoff.next_s())
        finally:
            await self._end_all()

    async def _follow(self, backoff: Backoff) -> None:
        stream = cast("AsyncGenerator[pb.ServeExecsResponse, None]", self._api.serve_execs(self._request))
        async with aclosing(stream):
            while True:
                async with asyncio.timeout(SILENCE_S):
                    message = await anext(stream, None)
                if message is None:
                    return
                backoff.reset()
                if message.HasField("task"):
                    self._begin(message.task)

    def _begin(self, task: pb.ExecTask) -> None:
        if len(self._running) >= MAX_RUNNING:
            log.warning("too many commands run; one is not begun", extra=fields(exec_id=task.exec_id))
            return
        relay = ExecRelay(self._request.region, self._runtime, self._api, task)
        running = asyncio.create_task(relay.run(), name=f"exec {task.exec_id}")
        self._running.add(running)
        running.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a command failed", exc_info=error)

    async def _end_all(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running), timeout=STOP_WITHIN_S)
