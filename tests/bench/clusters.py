"""Figures of krane on Kubernetes: how fast a change becomes objects, and how it grows with their number.

The control plane is a real one of this machine (`pkg.testing.kubernetes`). `python -m tests.bench.clusters KUBECONFIG
INSTALLATION` is the process whose memory is measured.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil

from pkg.testing.kubernetes.control_plane import ControlPlane
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.runtime import KubernetesRuntime
from svc.krane.runtime.port import DeploymentSpec, PendingError
from svc.krane.testing.kubernetes import KubernetesRig, login
from tests.bench.figure import Figure
from tests.harness.load import Load
from tests.harness.stack import ROOT
from tests.integration.two_kranes import answers, eventually, two_kranes

AT_ONCE = 200
FEW, MANY = 100, 1000
MAKERS = 32
RELISTS = 5
TIMEOUT_S = 300
TAKEOVERS = 3
TAKEOVER_WITHIN_S = 60.0
REQUESTS_PER_S = 50


def measure(quick: bool) -> list[Figure]:
    """All of them; `quick` with a tenth of the objects."""
    return (
        asyncio.run(_changes(AT_ONCE // 10 if quick else AT_ONCE))
        + asyncio.run(_growth(*((FEW // 10, MANY // 10) if quick else (FEW, MANY))))
        + asyncio.run(_takeovers(1 if quick else TAKEOVERS))
    )


async def _changes(count: int) -> list[Figure]:
    """Of deployments that run: the address that their apps are told changes, so one object has to be written."""
    with ControlPlane() as plane:
        plane.add_fake_node()
        rig = KubernetesRig(plane)
        await rig.make().open()
        specs = [rig.spec() for _ in range(count)]
        await _made(rig.runtime, specs)
        one_by_one = [await _changed(rig.runtime, spec, "http://one.example") for spec in specs]
        started_at = time.perf_counter()
        await asyncio.gather(*(_changed(rig.runtime, spec, "http://all.example") for spec in specs))
        at_once_ms = (time.perf_counter() - started_at) * 1000
        await rig.runtime.close()
    p99 = quantiles(one_by_one, n=100, method="inclusive")[98]
    return [
        Figure("Kubernetes: change written to object applied, median", "value", one_by_one, "ms"),
        Figure("Kubernetes: change written to object applied, p99", "value", [p99], "ms"),
        Figure(f"Kubernetes: {count} deployments changed at once, all applied", "value", [at_once_ms], "ms"),
    ]


async def _changed(runtime: KubernetesRuntime, spec: DeploymentSpec, url: str) -> float:
    seen = await runtime.observe(spec.deployment_id, 0)
    started_at = time.perf_counter()
    await runtime.apply(replace(spec, public_url=url), 0, seen, is_live=True)
    return (time.perf_counter() - started_at) * 1000


async def _made(runtime: KubernetesRuntime, specs: Sequence[DeploymentSpec]) -> None:
    slots = asyncio.Semaphore(MAKERS)

    async def make(spec: DeploymentSpec) -> None:
        async with slots:
            with suppress(PendingError):  # its Pod has no node
                await runtime.apply(spec, 0, None, is_live=False)

    await asyncio.gather(*(make(spec) for spec in specs))


async def _growth(few: int, many: int) -> list[Figure]:
    """Of krane's picture of the cluster. There is no node: the Pods exist, and nobody reports anything about them."""
    with ControlPlane() as plane:
        rig = KubernetesRig(plane)
        await rig.make().open()
        await _made(rig.runtime, [rig.spec() for _ in range(few)])
        small = _krane(plane.kubeconfig, rig.installation_id)
        await _made(rig.runtime, [rig.spec() for _ in range(many - few)])
        large = _krane(plane.kubeconfig, rig.installation_id)
        await rig.runtime.close()
    factor = many / few
    assert (small["instances"], large["instances"]) == (few, many)
    return [
        Figure(f"Kubernetes: memory of krane's runtime with {many} StatefulSets", "value", [large["rss_mib"]], "MiB"),
        Figure(f"Kubernetes: memory for {many} StatefulSets", "value", [large["grown_mib"]], "MiB"),
        Figure(f"Kubernetes: full resync of {many} StatefulSets", "value", large["relist_ms"], "ms"),
        Figure(
            f"Kubernetes: resync of {many} over {factor:.0f} times that of {few}", "ratio", large["relist_ms"], "ms",
            [factor * one for one in small["relist_ms"]], mark=1.0 if few >= FEW else None,  # of few only noise grows
        ),
    ]  # fmt: skip


async def _takeovers(rounds: int) -> list[Figure]:
    """Of two kranes the leader and its Envoy are killed, and the route is switched, while the other one is asked."""
    took_ms, failed = [], 0
    for _ in range(rounds):
        with ControlPlane() as plane, tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as folder:
            plane.add_fake_node()
            async with two_kranes(Path(folder), plane) as region:
                leader, other = await region.leader()
                with Load(other.url, rate_per_s=REQUESTS_PER_S, max_s=2 * TAKEOVER_WITHIN_S) as load:
                    leader.kill()
                    killed_at = time.perf_counter()
                    await region.switch()
                    await eventually(other.leads, "the other one leads", TAKEOVER_WITHIN_S)
                    took_ms.append((time.perf_counter() - killed_at) * 1000)
                    await eventually(partial(answers, other, region.next), "its Envoy has switched", TAKEOVER_WITHIN_S)
                failed += len(load.failures)
    return [
        Figure("Kubernetes: leader killed, until the other krane leads", "value", took_ms, "ms"),
        Figure("Kubernetes: failed requests through the other one meanwhile", "value", [failed], "requests", mark=0),
    ]


def _krane(kubeconfig: Path, installation_id: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.clusters", str(kubeconfig), installation_id]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=TIMEOUT_S)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _follow(kubeconfig: Path, installation_id: str) -> dict[str, Any]:
    """In the process that is measured: the runtime of a krane, opened on what is there."""
    runtime = KubernetesRuntime(login(kubeconfig), Identity(installation_id, "local"))
    process = psutil.Process()
    before = process.memory_info().rss
    await runtime.open()
    instances = len(await runtime.list_instances())
    relist_ms = []
    for _ in range(RELISTS):
        started_at = time.perf_counter()
        await runtime.relist()
        relist_ms.append((time.perf_counter() - started_at) * 1000)
    rss = process.memory_info().rss
    await runtime.close()
    return {
        "instances": instances, "rss_mib": rss / 2**20, "grown_mib": (rss - before) / 2**20, "relist_ms": relist_ms,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_follow(Path(sys.argv[1]), sys.argv[2]))))
