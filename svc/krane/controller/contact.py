"""This replica's contact with the api, and whether its Envoy may be in service."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from pkg.ids import is_id, new_id
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.api import ClusterApi
from svc.krane.runtime.replicas import Replicas

DEFAULT_CONTACT_TIMEOUT_S = 10.0


class Contact:
    """The calls by which the api knows a replica, and when the last one was answered.

    Contact counts from the begin of a call: the api has it from later on, and so waits longer than this replica does.

    Attributes:
        is_counted: whether the replica has caught up, as the api said last; None: it has not said so since this process
            began, or since contact was lost.
        on_uncounted: called whenever the api says that the replica is not counted: it is to report again.
    """

    def __init__(
        self, api: ClusterApi, replica_id: str, *, is_shared: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.replica_id = replica_id
        self.is_shared = is_shared
        self.is_counted: bool | None = None
        self.on_uncounted: Callable[[], None] = lambda: None
        self._api = api
        self._monotonic = monotonic
        self._timeout_s = DEFAULT_CONTACT_TIMEOUT_S
        self._last = float("-inf")
        self._has_left = False

    @property
    def last(self) -> float:
        """When the last call began that the api answered, by `monotonic`; -inf: none."""
        return self._last

    @property
    def is_there(self) -> bool:
        """Whether the api has answered within the contact timeout."""
        return self._monotonic() - self._last < self._timeout_s

    async def register(self, request: pb.RegisterRequest) -> pb.RegisterResponse:
        """See `ClusterApi.register`."""
        await self._until_known()
        began, had_lapsed = self._monotonic(), not self.is_there
        request.replica_id, request.is_shared = self.replica_id, self.is_shared
        answer = await self._api.register(request)
        self._timeout_s = float(answer.contact_timeout_s or DEFAULT_CONTACT_TIMEOUT_S)
        if had_lapsed and self.is_counted:
            self.is_counted = None  # that may be over, and this answer does not tell
        self._last = max(self._last, began)
        return answer

    async def heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        """See `ClusterApi.heartbeat`."""
        await self._until_known()
        began = self._monotonic()
        request.replica_id = self.replica_id
        answer = await self._api.heartbeat(request)
        self._answered(began, is_counted=answer.is_counted)
        if self.is_shared and not answer.is_counted:
            self.on_uncounted()
        return answer

    async def report_applied(self, request: pb.ReportAppliedRequest, traceparent: str = "") -> None:
        """See `ClusterApi.report_applied`."""
        await self._until_known()
        began = self._monotonic()
        request.replica_id = self.replica_id
        answer = await self._api.report_applied(request, traceparent)
        self._answered(began, is_counted=answer.is_counted)

    async def leave(self, region: str, instance_id: str) -> None:
        """Tells the api that this replica's Envoy has ended. Every other call waits from then on, until cancelled.

        An api that does not know of this takes it for a heartbeat. May be repeated.
        """
        self._has_left = True
        request = pb.HeartbeatRequest(
            region=region, instance_id=instance_id, replica_id=self.replica_id, is_follower=True, is_leaving=True
        )
        await self._api.heartbeat(request)

    async def _until_known(self) -> None:
        """Waits for ever once it has left: a call would make it known to the api again."""
        if self._has_left:
            await asyncio.Event().wait()

    def _answered(self, began: float, *, is_counted: bool) -> None:
        self._last = max(self._last, began)
        self.is_counted = is_counted


class Service:
    """Whether this replica's Envoy may be in service.

    A replica with contact may once it is counted. One without contact goes on for as long as it sees no other replica
    that has contact: then the api is away for all, and nothing that Envoy knows becomes stale. One that the api has
    said not to count has something stale already, and stays out.

    Attributes:
        is_started: whether Envoy has got a complete configuration.
    """

    def __init__(self, is_started: Callable[[], bool]) -> None:
        self.is_started = is_started
        self._shared: tuple[Contact, Replicas] | None = None

    def use(self, contact: Contact, replicas: Replicas) -> None:
        """There may be other replicas; without them nothing stands against service."""
        self._shared = contact, replicas

    def is_ready(self) -> bool:
        """Whether it is to get requests, now."""
        return self.is_started() and self.is_allowed()

    def is_allowed(self) -> bool:
        """Whether it may, now."""
        if self._shared is None:
            return True
        contact, replicas = self._shared
        if contact.is_there:
            return contact.is_counted is True
        return contact.is_counted is not False and not replicas.seen_since(contact.last)


def replica_id(folder: Path) -> str:
    """The id of the replica that keeps its state in `folder`, made at its first start.

    A folder that can't be written to gives a new one each time: the replica then has to catch up after a restart.
    """
    path = folder / "replica"
    try:
        known = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        known = ""
    if is_id("inst", known):
        return known
    made = new_id("inst")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(".tmp")
        draft.write_text(made + "\n", encoding="ascii")
        draft.chmod(0o600)
        draft.replace(path)
    except OSError:
        return made
    return made
