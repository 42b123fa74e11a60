"""What krane remembers of endpoints, and when it drops it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from svc.krane.controller.endpoints import Endpoints, EndpointsFile, KnownEndpoint
from svc.krane.ingress.port import Endpoint
from svc.krane.testing.harness import eventually
from svc.krane.testing.ingress import RecordingIngress


def known(deployment_id: str, address: str, *, is_assigned: bool = True) -> KnownEndpoint:
    return KnownEndpoint(deployment_id, address, 8080, True, f"id of {address}", 1000, is_assigned)


def file_in(folder: Path) -> EndpointsFile:
    return EndpointsFile(folder, b"key", "local")


@asynccontextmanager
async def running(one: Endpoints) -> AsyncIterator[None]:
    task = asyncio.create_task(one.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await one.close()


async def stored(folder: Path, *endpoints: KnownEndpoint, held: frozenset[str] = frozenset()) -> None:
    """Leaves behind what a krane that was killed leaves."""
    ingress = RecordingIngress()
    ingress.held = held
    before = Endpoints(ingress, file_in(folder), "boot 1")
    async with running(before):
        for endpoint in endpoints:
            before.publish(endpoint.deployment_id, [endpoint])
        await eventually(lambda: (memory := file_in(folder).load()) and set(memory.endpoints) == set(endpoints))


async def test_the_next_krane_serves_what_the_last_one_did(tmp_path: Path) -> None:
    # Promise: a krane that starts while its engine is away lets a new Envoy serve, too.
    await stored(tmp_path, known("dep_a", "10.0.0.2"), known("dep_b", "10.0.0.3"), held=frozenset({"10.0.0.9"}))
    ingress = RecordingIngress()
    after = Endpoints(ingress, file_in(tmp_path), "boot 1")
    assert after.restore()
    assert ingress.healthy("dep_a") == [Endpoint("10.0.0.2", 8080, True)]
    assert after.remembered == {"dep_a", "dep_b"}
    assert after.unusable_addresses() == frozenset({"10.0.0.2", "10.0.0.3", "10.0.0.9"})
    after.publish("dep_a", [])
    assert after.remembered == {"dep_b"}
    assert ingress.endpoints["dep_a"] == []
    assert "10.0.0.2" in (after.unusable_addresses() or ()), "the file still says that it is of dep_a"
    ingress.held = frozenset()  # Envoy has acknowledged everything
    async with running(after):
        await eventually(lambda: "10.0.0.2" not in (after.unusable_addresses() or ("10.0.0.2",)))


async def test_after_a_reboot_only_assigned_addresses_are_still_theirs(tmp_path: Path) -> None:
    # Promise: no request reaches another app because the engine gave its address away while the machine started.
    await stored(tmp_path, known("dep_a", "10.0.0.2"), known("dep_b", "10.0.0.3", is_assigned=False))
    ingress = RecordingIngress()
    assert Endpoints(ingress, file_in(tmp_path), "boot 2").restore()
    assert ingress.remembered == {"dep_a": [Endpoint("10.0.0.2", 8080, True)]}


async def test_an_address_that_is_another_apps_is_dropped_at_once(tmp_path: Path) -> None:
    # Promise: what is remembered gives way to what is known, before the app itself was looked at.
    await stored(tmp_path, known("dep_a", "10.0.0.2"), known("dep_b", "10.0.0.3"))
    ingress = RecordingIngress()
    after = Endpoints(ingress, file_in(tmp_path), "boot 1")
    after.restore()
    after.occupied({"10.0.0.2": "dep_c", "10.0.0.3": "dep_b"})
    assert ingress.endpoints == {"dep_a": [], "dep_b": [Endpoint("10.0.0.3", 8080, True)]}
    assert after.remembered == {"dep_a", "dep_b"}, "neither was seen yet"


async def test_nothing_is_known_without_a_file(tmp_path: Path) -> None:
    # Promise: no memory is not an empty one; a damaged file is none.
    ingress = RecordingIngress()
    assert not Endpoints(ingress, file_in(tmp_path), "boot 1").restore()
    await stored(tmp_path, known("dep_a", "10.0.0.2"))
    file_in(tmp_path).sealed.path.write_bytes(b"SLKE1\nnonsense")
    after = Endpoints(ingress, file_in(tmp_path), "boot 1")
    assert not after.restore()
    assert ingress.remembered is None
    assert after.unusable_addresses() is None, "Envoy may hold any address"
    await after.close()


async def test_a_full_disk_costs_freshness_only(tmp_path: Path) -> None:
    # Promise: what can't be stored is served all the same, and stored once it can.
    ingress = RecordingIngress()
    (tmp_path / "krane").write_text("in the way")
    one = Endpoints(ingress, file_in(tmp_path / "krane"), "boot 1")
    async with running(one):
        one.publish("dep_a", [known("dep_a", "10.0.0.2")])
        await asyncio.sleep(0)
        assert ingress.healthy("dep_a")
        (tmp_path / "krane").unlink()
        await eventually(lambda: file_in(tmp_path / "krane").load() is not None)
