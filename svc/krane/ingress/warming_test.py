"""Envoy says nothing of clusters (CDS) while one of them is warming, on any stream: it must never warm for ever."""

from collections.abc import Callable
from typing import Any

import pytest

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.messages import ENDPOINTS
from svc.krane.ingress.port import Applied
from svc.krane.ingress.testing import IngressHarness, Upstream, get, until
from svc.krane.testing.routes import routes_to

HOST = "app.sealift.localhost"


async def warming(up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """dep_a is served; Envoy got the cluster dep_b and hears nothing of its endpoints until the result is
    called.
    """
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])

    def nothing(_session: Any) -> None:
        return None

    endpoints = up.ingress._types[ENDPOINTS]
    answer = endpoints.next_answer
    monkeypatch.setattr(endpoints, "next_answer", nothing)
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    for _ in range(200):
        if "cluster_manager.warming_clusters: 1" in await up.envoy.admin("/stats?filter=warming_clusters"):
            return lambda: monkeypatch.setattr(endpoints, "next_answer", answer)
    raise AssertionError("dep_b does not warm")


async def killed(up: IngressHarness) -> None:
    """krane ends and starts again, knowing nothing."""
    await up.server.stop()
    up.new_ingress()
    await up.server.start()


async def test_krane_killed_between_clusters_and_endpoints(
    up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new krane warms the cluster that the old one sent only half of, and continues at once."""
    await warming(up, apps, monkeypatch)
    await killed(up)
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    up.ingress.mark_ready()
    assert await up.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    assert (await get(up.port, HOST)).body == "b"
    up.ingress.set_endpoints("dep_c", [apps[2].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_c"}), 3)
    assert await up.ingress.wait_version(3, WAIT_S) == Applied(3, [])
    assert (await get(up.port, HOST)).body == "c"


async def test_the_new_krane_knows_nothing_of_the_warming_cluster(
    up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the old one began and nobody wants any more holds nothing up."""
    await warming(up, apps, monkeypatch)
    await killed(up)
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_endpoints("dep_c", [apps[2].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_c"}), 2)
    up.ingress.mark_ready()
    assert (await get(up.port, HOST)).body == "a"
    assert await up.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    assert (await get(up.port, HOST)).body == "c"
    await until(lambda: not up.ingress.lists("dep_a"), "dep_a is served no more")


async def test_a_deployment_removed_while_its_cluster_warms(
    up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy that fails between clusters and endpoints holds up none after it."""
    go_on = await warming(up, apps, monkeypatch)
    up.ingress.remove_deployment("dep_b")
    await until(lambda: "dep_b" not in up.ingress._state.spec.endpoints, "dep_b is forgotten")
    go_on()
    up.ingress.set_endpoints("dep_c", [apps[2].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_c"}), 2)
    assert await up.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    assert (await get(up.port, HOST)).body == "c"
