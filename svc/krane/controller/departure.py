"""How a replica leaves its region in good order when its process is asked to stop."""

import asyncio
import logging
import socket

import grpc.aio

from pkg.observability.logging import fields
from svc.krane.config import Ingress
from svc.krane.controller.contact import Contact
from svc.krane.runtime.replicas import Replicas

log = logging.getLogger(__name__)

# Until the hook that drains Envoy has begun: the kubelet starts it in the moment in which it signals krane.
DRAIN_BEGINS_WITHIN_S = 5.0
# More than the hook of dev/k8s/base/krane.yaml takes, less than a stop of the process may.
ENVOY_ENDS_WITHIN_S = 24.0
GRACE_S = ENVOY_ENDS_WITHIN_S + 5.0
POLL_S = 0.1
TELL_WITHIN_S = 4.0
TELL_AGAIN_S = 0.5


class Departure:
    """Resigns at once; tells the api that the replica has left once its Envoy has ended.

    Until then krane goes on feeding that Envoy, so that no deploy waits for it. An Envoy that goes on, because only
    krane's own process is replaced, keeps its vote: it still sends requests where it last was told to.
    """

    def __init__(
        self,
        stopping: asyncio.Event,
        contact: Contact,
        replicas: Replicas,
        ingress: Ingress,
        region: str,
        instance: str,
    ) -> None:
        self._stopping = stopping
        self._contact = contact
        self._replicas = replicas
        self._ingress = ingress
        self._region = region
        self._instance_id = instance

    async def run(self) -> None:
        """Waits for the stop of the process, and ends when nothing is left to do. Raises nothing."""
        await self._stopping.wait()
        await self._replicas.resign()
        if not await self._envoy_ends():
            log.info("envoy goes on: this replica keeps its vote")
            return
        try:
            async with asyncio.timeout(TELL_WITHIN_S):
                await self._tell()
        except TimeoutError:
            log.warning("the api was not told that this replica has left; its vote expires")

    async def _envoy_ends(self) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._envoy_has_ended():
            drains = self._ingress.draining_mark.exists()
            if loop.time() - began > (ENVOY_ENDS_WITHIN_S if drains else DRAIN_BEGINS_WITHIN_S):
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _envoy_has_ended(self) -> bool:
        """Whether nothing listens on its admin socket; one that hangs still does."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self._ingress.admin_socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return True
            except OSError:
                return False
        return False

    async def _tell(self) -> None:
        while True:
            try:
                await self._contact.leave(self._region, self._instance_id)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    return  # the api does not know this replica, or not any more
                log.info("the api was not told yet that this replica has left", extra=fields(error=error.details()))
                await asyncio.sleep(TELL_AGAIN_S)
            else:
                log.info("this replica has left its region")
                return
