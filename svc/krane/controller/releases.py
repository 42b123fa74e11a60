"""Whether the Envoys of the other replicas, too, send a deployment no more requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc.aio

from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import DesiredState
from svc.krane.runtime.replicas import Replicas

log = logging.getLogger(__name__)

POLL_S = 1.0

ListReleased = Callable[[pb.ListReleasedRequest], Awaitable[pb.ListReleasedResponse]]


class Releases:
    """Asks the api, which knows what every counted replica has applied."""

    def __init__(self, region: str, replicas: Replicas, desired: DesiredState, list_released: ListReleased) -> None:
        self._region = region
        self._replicas = replicas
        self._desired = desired
        self._list_released = list_released

    async def wait(self, deployment_id: str) -> None:
        """Waits, without limit, until no other Envoy sends requests there. Returns at once unless this replica leads.

        No route must lead there. While the api is away nothing is known of the others, and nothing is released.
        """
        backoff = Backoff(POLL_S, 5)
        while self._replicas.is_shared and self._replicas.term is not None:
            try:
                request = pb.ListReleasedRequest(
                    region=self._region, version=self._desired.version, deployment_ids=[deployment_id]
                )
                if deployment_id in (await self._list_released(request)).released:
                    return
                backoff.reset()
                await asyncio.sleep(POLL_S)
            except grpc.aio.AioRpcError as error:
                log.warning(
                    "the api does not say whether other replicas still serve a deployment; asking again",
                    extra=fields(deployment_id=deployment_id, grpc_status=error.code().name, error=error.details()),
                )
                await asyncio.sleep(backoff.next_s())
