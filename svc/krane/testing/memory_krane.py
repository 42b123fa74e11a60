"""A krane in this process whose instances are servers in this process, too."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.ids import new_id
from svc.krane.config import KraneConfig
from svc.krane.runtime import factory
from svc.krane.runtime.port import Runtime, RuntimeContext
from svc.krane.testing.cluster import FakeCluster
from svc.krane.testing.harness import KraneHarness
from svc.krane.testing.memory import IMAGE_ID, Machine, MemoryRuntime


@contextlib.asynccontextmanager
async def memory_krane(folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KraneHarness]:
    """A harness with its control plane listening; the test starts krane. This is all that registers the runtime."""

    def make(_: KraneConfig, context: RuntimeContext) -> Runtime:
        return MemoryRuntime(machine, context.installation_id)

    monkeypatch.setattr(factory, "BACKENDS", {**factory.BACKENDS, "memory": make})
    cluster = FakeCluster(new_id("inst"))
    await cluster.start()
    harness = KraneHarness(folder, IMAGE_ID, cluster, cluster.installation_id, backend="memory")
    try:
        yield harness
    finally:
        await harness.stop_krane()
        await cluster.stop()
