"""`KubernetesReplicas`: the kranes of a region in one cluster, by two Leases in krane's own namespace.

One names the leader (`election`). The other, `...-contact`, is renewed by whichever replica has contact with the api: a
replica that has lost it learns there whether it is alone in that.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.async_client import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.types import PatchType

from pkg.ids import dns_label
from pkg.observability.logging import fields
from svc.krane.config import KraneConfig
from svc.krane.runtime.kubernetes import api as api_server
from svc.krane.runtime.kubernetes.election import LEASE_DURATION_S, RETRY_INTERVAL_S, Election, LeaseRecord
from svc.krane.runtime.kubernetes.identity import FIELD_MANAGER, Identity
from svc.krane.runtime.replicas import ReplicaContext

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 4.0  # less than the renew deadline allows for two
ANNOUNCED_FOR_S = 8.0  # a renewal that is older may be one of many that failed since
# How old a contact may be when another replica sees the renewal that it led to: the time between two tries of either
# side, and slow calls.
SEEN_AFTER_S = 8.0
_LAPSE_POLL_S = 0.5  # a leadership also ends by time


class ForeignLeaseError(Exception):
    """A Lease of the name belongs to somebody else."""


class LeaseStore:
    """Reads and writes one Lease. Raises what lightkube raises, and ForeignLeaseError."""

    def __init__(self, client: AsyncClient, name: str, namespace: str, labels: dict[str, str]) -> None:
        self.name = name
        self._client = client
        self._namespace = namespace
        self._labels = labels

    async def read(self) -> LeaseRecord | None:
        """What the Lease says; None: there is none."""
        try:
            found = await self._client.get(Lease, name=self.name, namespace=self._namespace)
        except ApiError as error:
            if error.status.code == 404:
                return None
            raise
        return self._record(found)

    async def write(self, record: LeaseRecord) -> LeaseRecord | None:
        """Writes the record, renewed now, over the version that it names; None: somebody else was first."""
        # the server takes exactly six digits of a second
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": record.holder,
            "leaseTransitions": record.transitions,
            "leaseDurationSeconds": round(record.duration_s),
            "renewTime": now,
        }
        metadata = {"name": self.name, "namespace": self._namespace, "labels": self._labels}
        try:
            if not record.version:
                lease = cast("Lease", Lease.from_dict({"metadata": metadata, "spec": spec}))
                written = await self._client.create(lease, field_manager=FIELD_MANAGER)
            else:
                written = await self._client.patch(
                    Lease,
                    self.name,
                    {"metadata": {"resourceVersion": record.version}, "spec": spec},
                    namespace=self._namespace,
                    patch_type=PatchType.MERGE,
                    field_manager=FIELD_MANAGER,
                )
        except ApiError as error:
            if error.status.code in (404, 409):  # deleted, or changed
                return None
            raise
        return self._record(written)

    def _record(self, lease: Lease) -> LeaseRecord:
        metadata, spec = lease.metadata or ObjectMeta(), lease.spec or LeaseSpec()
        if any((metadata.labels or {}).get(name) != value for name, value in self._labels.items()):
            raise ForeignLeaseError(f"Lease {self._namespace}/{self.name} exists without the labels {self._labels}")
        return LeaseRecord(
            holder=spec.holderIdentity or "",
            transitions=spec.leaseTransitions or 0,
            duration_s=float(spec.leaseDurationSeconds or LEASE_DURATION_S),
            renewed_at=str(spec.renewTime or ""),
            version=metadata.resourceVersion or "",
        )


class KubernetesReplicas:
    """See `Replicas`. Must be made inside a running loop.

    Args:
        namespace: of the Leases: krane's own.
    """

    is_shared = True

    def __init__(self, config: SingleConfig, namespace: str, region: str, context: ReplicaContext) -> None:
        self._context = context
        self._now = context.monotonic
        self._client = AsyncClient(config, namespace=namespace, timeout=httpx2.Timeout(CALL_TIMEOUT_S))
        labels = Identity(context.installation_id, region).labels()
        name = lease_name(context.installation_id, region)
        self._leader = LeaseStore(self._client, name, namespace, labels)
        self._contact = LeaseStore(self._client, f"{name}-contact", namespace, labels)
        self._election = Election(context.replica_id)
        self._contact_seen: LeaseRecord | None = None
        self._renewed_at = float("-inf")
        self._other_renewed_at = float("-inf")
        self._changed = asyncio.Event()
        self._has_resigned = False
        self._faults: dict[str, str] = {}

    @property
    def term(self) -> int | None:
        """See `Replicas`."""
        return self._election.term(self._now())

    @property
    def is_follower(self) -> bool:
        """See `Replicas`."""
        return self._election.is_follower(self._now())

    @property
    def is_announced(self) -> bool:
        """See `Replicas`."""
        return self._now() - self._renewed_at < ANNOUNCED_FOR_S

    def seen_since(self, moment: float) -> bool:
        """See `Replicas`."""
        return self._other_renewed_at - SEEN_AFTER_S > moment

    def heard_of_term(self, term: int) -> None:
        """See `Replicas`."""
        self._election.heard_of(term)

    async def term_changed(self, known: int | None) -> int | None:
        """See `Replicas`."""
        while (term := self.term) == known:
            self._changed.clear()
            try:
                async with asyncio.timeout(_LAPSE_POLL_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return term

    async def run(self) -> None:
        """See `Replicas`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat("leader", self._elect))
            group.create_task(self._repeat("contact", self._announce))

    async def resign(self) -> None:
        """See `Replicas`."""
        self._has_resigned = True
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while (given_up := self._election.resignation()) is not None and not await self._write(given_up):
                    self._election.read(await self._leader.read(), self._now())  # a renewal was under way
        except Exception as error:  # its Lease runs out by itself
            log.warning("the leadership could not be given up", extra=fields(error=str(error)))
        self._changed.set()

    async def close(self) -> None:
        """See `Replicas`."""
        await self.resign()
        await self._client.close()

    async def _elect(self) -> None:
        self._election.read(await self._leader.read(), self._now())
        context = self._context
        # a leader that no longer learns what to do makes room for one that does
        has_api = context.has_contact() or not self.seen_since(context.last_contact())
        claim = self._election.claim(self._now(), is_candidate=has_api and not self._has_resigned)
        if claim is not None:
            await self._write(claim)

    async def _write(self, claim: LeaseRecord) -> bool:
        """False: somebody else was first."""
        began = self._now()
        written = await self._leader.write(claim)
        if written is not None:
            self._election.wrote(written, began, self._now())
        return written is not None

    async def _announce(self) -> None:
        record, now = await self._contact.read(), self._now()
        before, self._contact_seen = self._contact_seen, record
        if before is not None and record is not None and record.renewed_at != before.renewed_at:
            self._renewed_at = now
            if record.holder != self._context.replica_id:
                self._other_renewed_at = now
        if self._context.last_contact() <= self._renewed_at:
            return  # it says nothing that is not known
        version = record.version if record is not None else ""
        written = await self._contact.write(LeaseRecord(self._context.replica_id, 0, version=version))
        if written is not None:
            self._contact_seen, self._renewed_at = written, now

    async def _repeat(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    await step()
                self._note(what, "")
            except Exception as error:
                self._note(what, f"{type(error).__name__}: {error}")
            self._changed.set()
            await asyncio.sleep(RETRY_INTERVAL_S * random.uniform(0.8, 1.0))  # noqa: S311 - so that replicas do not write at once

    def _note(self, what: str, fault: str) -> None:
        """Logs a fault once, and its end."""
        if fault and not self._faults.get(what):
            log.warning("a Lease of krane can't be read or written; trying again", extra=fields(error=fault))
        elif not fault and self._faults.get(what):
            log.info("the Leases of krane are there again")
        self._faults[what] = fault


def make(config: KraneConfig, context: ReplicaContext) -> KubernetesReplicas:
    """The replicas of `[kubernetes]`. Raises ConfigError when there is no login to a cluster."""
    settings = config.kubernetes
    namespace = settings.lease_namespace or api_server.own_namespace() or "default"
    return KubernetesReplicas(api_server.login(settings), namespace, config.region, context)


def lease_name(installation_id: str, region: str) -> str:
    """Of the Lease that names the leader. Installations may share a namespace."""
    whose = hashlib.sha256(f"{installation_id}\0{region}".encode()).hexdigest()[:8]
    return f"sealift-krane-{dns_label(region)}-{whose}"
