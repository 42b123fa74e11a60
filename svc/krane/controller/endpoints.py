"""The endpoints of each deployment: passed to the ingress, and kept on disk for the next krane.

A krane that starts while its engine does not answer serves the endpoints of the krane before, however long it takes.
It corrects them one by one as the engine answers. A remembered endpoint is dropped only when its address is known to
belong to another instance. To keep that rare, no address is assigned while the ingress may still use it, or while the
file on disk names it for another deployment.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pkg.observability.logging import fields
from svc.krane.controller.sealed_file import SealedFile
from svc.krane.controller.write_behind import WriteBehind
from svc.krane.ingress.port import Endpoint, Ingress

log = logging.getLogger(__name__)

WRITE_INTERVAL_S = 0.05  # so that one write serves many: instances change at once after a start of the machine
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class KnownEndpoint(msgspec.Struct, frozen=True):
    """One instance as it was seen last.

    Attributes:
        uid: see `Observation`; stored under the name that earlier versions wrote.
        is_assigned: the address is the instance's for as long as that exists. Any other address may be another
            instance's after a restart.
    """

    deployment_id: str
    address: str
    port: int
    healthy: bool
    uid: str = msgspec.field(name="container_id")
    started_at_ms: int
    is_assigned: bool

    def as_endpoint(self) -> Endpoint:
        """For the ingress."""
        return Endpoint(self.address, self.port, self.healthy)


class Memory(msgspec.Struct, frozen=True):
    """What is stored: of which boot of the machine, the endpoints, and what else the ingress may hold."""

    boot_id: str
    endpoints: tuple[KnownEndpoint, ...] = ()
    held: tuple[str, ...] = ()


class EndpointsFile:
    """The file `endpoints.snapshot` in krane's state directory."""

    def __init__(self, folder: Path, key_file_content: bytes, region: str) -> None:
        purpose = b"sealift krane endpoints\0" + region.encode()
        self.sealed = SealedFile(folder / "endpoints.snapshot", b"SLKE1\n", key_file_content.strip(), purpose)

    def load(self) -> Memory | None:
        """What was stored; None: nothing usable, so nothing is known of before."""
        try:
            return msgspec.json.decode(self.sealed.load()[0], type=Memory)
        except FileNotFoundError:
            return None
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("the stored endpoints cannot be used", extra=fields(error=str(error)))
            return None


class Endpoints:
    """The only way from the controller to the ingress's endpoints. Lives on one loop; `close` it."""

    def __init__(self, ingress: Ingress, file: EndpointsFile, boot_id: str) -> None:
        self._ingress = ingress
        self._file = file
        self._boot_id = boot_id
        self._known: dict[str, tuple[KnownEndpoint, ...]] = {}
        self._remembered: set[str] = set()
        self._on_disk: frozenset[str] = frozenset()
        self._being_written: frozenset[str] = frozenset()
        self._writer = WriteBehind(file.sealed, self._frames, interval_s=WRITE_INTERVAL_S, on_saved=self._on_saved)

    @property
    def remembered(self) -> frozenset[str]:
        """Deployments of which this process knows only what an earlier one knew."""
        return frozenset(self._remembered)

    def restore(self) -> bool:
        """Hands what is remembered to the ingress; False: nothing is. Call it once, first."""
        memory = self._file.load()
        if memory is None:
            return False
        is_same_boot = memory.boot_id == self._boot_id != ""
        for endpoint in memory.endpoints:
            if is_same_boot or endpoint.is_assigned:
                known = self._known.get(endpoint.deployment_id, ())
                self._known[endpoint.deployment_id] = (*known, endpoint)
        self._remembered = set(self._known)
        self._on_disk = frozenset(endpoint.address for endpoint in memory.endpoints)
        remembered = {d: [one.as_endpoint() for one in known] for d, known in self._known.items()}
        self._ingress.remember(remembered, memory.held if is_same_boot else ())
        return True

    def publish(self, deployment_id: str, endpoints: Sequence[KnownEndpoint]) -> None:
        """All endpoints of a deployment, as the engine and the probes say now. Idempotent."""
        is_new = deployment_id in self._remembered or deployment_id not in self._known
        self._remembered.discard(deployment_id)
        if not is_new and self._known[deployment_id] == tuple(endpoints):
            return
        self._known[deployment_id] = tuple(endpoints)
        self._ingress.set_endpoints(deployment_id, [one.as_endpoint() for one in endpoints])
        self._writer.changed()

    def remove(self, deployment_id: str) -> None:
        """The deployment has no instances any more, and no route leads to it. Idempotent."""
        self._remembered.discard(deployment_id)
        if self._known.pop(deployment_id, None) is not None:
            self._writer.changed()
        self._ingress.remove_deployment(deployment_id)

    def occupied(self, owners: Mapping[str, str]) -> None:
        """Drops remembered endpoints whose address is now another deployment's. `owners`: address -> deployment."""
        for deployment_id in list(self._remembered):
            known = self._known[deployment_id]
            kept = tuple(one for one in known if owners.get(one.address, deployment_id) == deployment_id)
            if kept != known:
                self._known[deployment_id] = kept
                self._ingress.set_endpoints(deployment_id, [one.as_endpoint() for one in kept])
                log.warning("an address is another app's now", extra=fields(deployment_id=deployment_id))

    def unusable_addresses(self) -> frozenset[str] | None:
        """Addresses that no new instance may get; None: not known yet."""
        held = self._ingress.held_addresses()
        return None if held is None else held | self._on_disk

    async def wait_saved(self, timeout_s: float) -> bool:
        """Waits until what was published by now is on disk; False when time ran out (disk full)."""
        return await self._writer.wait_saved(self._writer.generation, timeout_s)

    async def run(self) -> None:
        """Writes every change until cancelled; a write that fails is tried again."""
        await self._writer.run()

    async def close(self) -> None:
        """Writes what is not written yet, if it can."""
        await self._writer.close()

    def _frames(self) -> list[bytes]:
        endpoints = tuple(one for known in self._known.values() for one in known)
        self._being_written = frozenset(one.address for one in endpoints)
        self._on_disk |= self._being_written  # a crash may leave the old content behind as well as the new one
        memory = Memory(self._boot_id, endpoints, tuple(sorted(self._ingress.held_addresses() or ())))
        return [msgspec.json.encode(memory)]

    def _on_saved(self) -> None:
        self._on_disk = self._being_written


def boot_id() -> str:
    """Of this machine since its last start; "" where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
