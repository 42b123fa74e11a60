"""The namespace of each workspace, with what holds for all its instances: who reaches them, and logins for pulls."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lightkube.core.resource import Resource
from lightkube.resources.core_v1 import Endpoints, Namespace, Secret
from lightkube.resources.networking_v1 import NetworkPolicy

from pkg.images.config import RegistryLogin
from pkg.observability.logging import fields
from svc.krane.runtime.kubernetes import failures, objects, wire
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes.api import ApiError, KubeApi
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.objects import PodRules, Traffic
from svc.krane.runtime.port import PendingError

log = logging.getLogger(__name__)

CHECKED_AGAIN_S = 300.0  # somebody may have removed or changed what a namespace has


class Workspaces:
    """Makes namespaces and keeps them as the configuration says. `find_control_plane` comes first."""

    def __init__(
        self, api: KubeApi, identity: Identity, rules: PodRules, traffic: Traffic, logins: Sequence[RegistryLogin]
    ) -> None:
        self._api = api
        self._identity = identity
        self._rules = rules
        self._traffic = traffic
        self._logins = logins
        self._done_at: dict[str, float] = {}
        self._lock = asyncio.Lock()

    @property
    def has_logins(self) -> bool:
        """Whether a namespace has the Secret with logins."""
        return bool(self._logins)

    async def find_control_plane(self) -> None:
        """Learns the addresses of the API server, which instances may not reach. Raises Unavailable."""
        try:
            found = await self._api.get(Endpoints, "kubernetes", "default", wire.ServiceEndpoints)
        except ApiError as error:
            said = "the addresses of the API server are not known; name them in [kubernetes] egress_denied"
            log.warning(said, extra=fields(error=str(error)))
            return
        addresses = [one.ip for subset in (found.subsets if found else None) or () for one in subset.addresses]
        ranges = (f"{ip}/{128 if ':' in ip else 32}" for ip in addresses)
        denied = tuple(dict.fromkeys((*self._traffic.denied_ranges, *ranges)))
        self._traffic = replace(self._traffic, denied_ranges=denied)

    async def ensure(self, workspace_id: str) -> None:
        """The namespace is there, and as it has to be. Asked of the server every `CHECKED_AGAIN_S` for each workspace.

        Raises PendingError while it is being deleted, FailedPrecondition when somebody else has the name, Unavailable.
        """
        if self._is_done(workspace_id):
            return
        async with self._lock:
            if self._is_done(workspace_id):
                return
            try:
                await self._ensure(workspace_id)
            except ApiError as error:
                name = self._identity.namespace(workspace_id)
                raise failures.refusal(error, f"namespace {name}") from error
            self._done_at[workspace_id] = time.monotonic()

    async def ensure_all(self, workspace_ids: Iterable[str]) -> None:
        """Those that instances are in follow the configuration, too. What fails is logged, and tried the next time."""
        for workspace_id in workspace_ids:
            try:
                await self.ensure(workspace_id)
            except Exception as error:
                log.warning(
                    "a namespace is not as it should be", extra=fields(workspace_id=workspace_id, error=str(error))
                )

    def forget(self, workspace_id: str) -> None:
        """Its namespace may be gone, or going."""
        self._done_at.pop(workspace_id, None)

    async def restore_logins(self, workspace_id: str) -> bool:
        """Makes the Secret with the logins again, where somebody has removed it; whether it was missing.

        Raises as `ensure`.
        """
        name = self._identity.namespace(workspace_id)
        try:
            is_missing = self._logins and await self._api.get(Secret, objects.LOGINS, name, wire.Anything) is None
        except ApiError as error:
            raise failures.refusal(error, f"Secret {objects.LOGINS}") from error
        if not is_missing:
            return False
        log.warning("the Secret with the logins of [[registries]] was gone", extra=fields(namespace=name))
        self.forget(workspace_id)
        await self.ensure(workspace_id)
        return True

    def _is_done(self, workspace_id: str) -> bool:
        done_at = self._done_at.get(workspace_id)
        return done_at is not None and time.monotonic() - done_at < CHECKED_AGAIN_S

    async def _ensure(self, workspace_id: str) -> None:
        name = self._identity.namespace(workspace_id)
        wanted = objects.namespace(workspace_id, self._identity, self._rules)
        found = await self._api.get(Namespace, name, "", wire.Namespace)
        if found is not None:
            labels = found.metadata.labels
            if not self._identity.owns(labels) or labels.get(names.LABEL_WORKSPACE) != workspace_id:
                raise failures.name_taken("Namespace", name, "")
            if found.status.phase == "Terminating" or found.metadata.deletion_timestamp is not None:
                raise PendingError("", f"namespace {name} is being deleted; waiting until that is over")
        await self._api.apply(wanted, wire.Namespace, uid=found.metadata.uid if found is not None else "")
        policy = objects.network_policy(workspace_id, self._identity, self._traffic)
        await self._apply_own(NetworkPolicy, policy, objects.POLICY, name)
        if self._logins:
            logins = objects.registry_logins(workspace_id, self._identity, self._logins)
            await self._apply_own(Secret, logins, objects.LOGINS, name)

    async def _apply_own(self, kind: type[Resource], wanted: Resource, name: str, namespace: str) -> None:
        found = await self._api.get(kind, name, namespace, wire.Anything)
        if found is not None and not self._identity.owns(found.metadata.labels):
            raise failures.name_taken(kind.__name__, name, namespace)
        await self._api.apply(wanted, wire.Anything, uid=found.metadata.uid if found is not None else "")
