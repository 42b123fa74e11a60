"""What Pods use: as their nodes count it, or where krane may not ask these, as the cluster's metrics show it."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from pkg.errors import Unavailable
from pkg.observability.logging import fields
from svc.krane.runtime.kubernetes import pods
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi
from svc.krane.runtime.kubernetes.wire import Metadata, Pod
from svc.krane.runtime.port import InstanceUsage

log = logging.getLogger(__name__)

NODES_AT_ONCE = 4
REFUSED_S = 600.0  # for how long nodes are not asked after the server has refused that
_PER_CORE = {"n": Decimal(1), "u": Decimal(1000), "m": Decimal(10**6), "": Decimal(10**9)}  # nanocores


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Unknown fields are ignored; those that are absent have their default."""


class _Cpu(_Wire, frozen=True):
    usage_core_nano_seconds: int | None = None


class _Memory(_Wire, frozen=True):
    working_set_bytes: int | None = None


class _Network(_Wire, frozen=True):
    rx_bytes: int | None = None
    tx_bytes: int | None = None


class _Container(_Wire, frozen=True):
    name: str = ""
    cpu: _Cpu | None = None
    memory: _Memory | None = None


class _PodRef(_Wire, frozen=True):
    uid: str = ""


class _PodStats(_Wire, frozen=True):
    pod_ref: _PodRef = _PodRef()
    containers: tuple[_Container, ...] | None = None
    network: _Network | None = None


class Summary(_Wire, frozen=True):
    """What a kubelet says of its Pods: `GET /stats/summary`."""

    pods: tuple[_PodStats, ...] | None = None


class _ContainerMetrics(_Wire, frozen=True):
    name: str = ""
    usage: dict[str, Any] = {}


class _PodMetrics(_Wire, frozen=True):
    metadata: Metadata = Metadata()
    containers: tuple[_ContainerMetrics, ...] | None = None


class PodMetricsList(_Wire, frozen=True):
    """`GET /apis/metrics.k8s.io/v1beta1/pods`."""

    items: tuple[_PodMetrics, ...] | None = None


class PodUsage:
    """Measures Pods. `selector`: the labels of all of them."""

    def __init__(self, api: KubeApi, selector: str) -> None:
        self._api = api
        self._selector = selector
        self._refused_until = 0.0

    async def of(self, found: Sequence[Pod]) -> list[InstanceUsage]:
        """What these Pods use; those of a node that does not answer are left out.

        Raises:
            Unavailable: none could be measured.
        """
        running = [one for one in found if one.spec.node_name and one.container.state.running is not None]
        if not running:
            return []
        if time.monotonic() >= self._refused_until:
            try:
                return await self._by_nodes(running)
            except ApiError as error:
                self._refused_until = time.monotonic() + REFUSED_S
                log.info("krane may not ask nodes what Pods use", extra=fields(error=str(error)))
        try:
            metrics = await self._api.read(
                "/apis/metrics.k8s.io/v1beta1/pods", PodMetricsList, {"labelSelector": self._selector}
            )
        except ApiError as error:
            raise Unavailable(
                UNAVAILABLE, f"krane may ask neither nodes nor metrics.k8s.io what Pods use ({error})"
            ) from error
        return by_metrics(running, metrics)

    async def _by_nodes(self, running: Sequence[Pod]) -> list[InstanceUsage]:
        at_once, away = asyncio.Semaphore(NODES_AT_ONCE), []

        async def summary(node: str) -> Summary:
            async with at_once:
                try:
                    return await self._api.read(f"/api/v1/nodes/{node}/proxy/stats/summary", Summary)
                except Unavailable as error:
                    away.append(error)
                    return Summary()

        names = sorted({one.spec.node_name for one in running})
        answers = await asyncio.gather(*(summary(name) for name in names), return_exceptions=True)
        stats = [one for answer in answers if isinstance(answer, Summary) for one in answer.pods or ()]
        if (refused := next((one for one in answers if isinstance(one, BaseException)), None)) is not None:
            raise refused
        if len(away) == len(names):
            raise away[0]
        return by_summary(running, {one.pod_ref.uid: one for one in stats})


def by_summary(running: Sequence[Pod], stats: Mapping[str, _PodStats]) -> list[InstanceUsage]:
    """What a kubelet says of Pods, by uid. A kubelet counts no bytes of disks."""
    found = []
    for pod in running:
        one = stats.get(pod.metadata.uid)
        app = next((each for each in (one.containers or () if one else ()) if each.name == "app"), None)
        if one is None or app is None or app.memory is None or app.memory.working_set_bytes is None:
            continue
        network = one.network or _Network()
        found.append(
            InstanceUsage(
                name=pod.metadata.name,
                uid=pod.metadata.uid,
                deployment_id=pods.deployment_of(pod.metadata.labels),
                memory_bytes=app.memory.working_set_bytes,
                cpu_ns=app.cpu.usage_core_nano_seconds if app.cpu is not None else None,
                network_rx_bytes=network.rx_bytes,
                network_tx_bytes=network.tx_bytes,
            )
        )
    return found


def by_metrics(running: Sequence[Pod], metrics: PodMetricsList) -> list[InstanceUsage]:
    """What the cluster's metrics say: the CPU of the last moments, and memory."""
    known = {(one.metadata.namespace, one.metadata.name): one for one in metrics.items or ()}
    found = []
    for pod in running:
        one = known.get((pod.metadata.namespace, pod.metadata.name))
        app = next((each for each in (one.containers or () if one else ()) if each.name == "app"), None)
        if app is None or "memory" not in app.usage:
            continue
        found.append(
            InstanceUsage(
                name=pod.metadata.name,
                uid=pod.metadata.uid,
                deployment_id=pods.deployment_of(pod.metadata.labels),
                memory_bytes=pods.bytes_of(str(app.usage["memory"])),
                cpu_nanocores=nanocores(str(app.usage.get("cpu", ""))),
            )
        )
    return found


def nanocores(quantity: str) -> int | None:
    """A quantity of CPU, e.g. "250m" or "12345n"; None for what is none."""
    unit = quantity[-1:] if quantity[-1:] in ("n", "u", "m") else ""
    try:
        return int(Decimal(quantity.removesuffix(unit)) * _PER_CORE[unit])
    except (InvalidOperation, ValueError, OverflowError):
        return None
