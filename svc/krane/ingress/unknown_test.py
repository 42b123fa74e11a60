"""What a krane that has just started does not know yet is left as it is: Envoy keeps what it has."""

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.port import Applied
from svc.krane.ingress.testing import IngressHarness, Upstream, get, until
from svc.krane.testing.routes import routes_to

HOST = "app.sealift.localhost"
OTHER = "other.sealift.localhost"


async def serve(up: IngressHarness, apps: list[Upstream]) -> None:
    """dep_a answers at HOST, dep_b at OTHER."""
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a", OTHER: "dep_b"}), 1)
    assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])


async def start_again(up: IngressHarness) -> None:
    """krane ends and starts again; it may answer at once."""
    await up.server.stop()
    up.new_ingress()
    await up.server.start()
    up.ingress.mark_ready()


async def test_routes_are_known_and_instances_are_not(up: IngressHarness, apps: list[Upstream]) -> None:
    """The live version answers however long the engine is away, and other deploys continue meanwhile."""
    await serve(up, apps)
    await start_again(up)
    up.ingress.set_routes(routes_to({HOST: "dep_a", OTHER: "dep_b"}), 2)
    applied = await up.ingress.wait_version(2, WAIT_S)
    assert applied.version == 2
    assert [nack.hostname for nack in applied.nacks] == [HOST, OTHER]
    assert all("not known yet" in nack.message for nack in applied.nacks)
    assert [(await get(up.port, host)).body for host in (HOST, OTHER)] == ["a", "b"]
    assert up.ingress.held_addresses() is None, "Envoy may hold any address"

    up.ingress.set_endpoints("dep_c", [apps[2].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a", OTHER: "dep_c"}), 3)
    await until(lambda: up.ingress.lists("dep_c"), "dep_c is served")
    assert [nack.hostname for nack in (await up.ingress.wait_version(3, WAIT_S)).nacks] == [HOST]
    assert [(await get(up.port, host)).body for host in (HOST, OTHER)] == ["a", "c"]

    up.ingress.set_endpoints("dep_a", [apps[1].endpoint()])  # the engine is back, and says so
    await until(lambda: up.ingress.held_addresses() is not None, "all that Envoy holds is of this krane")
    assert await up.ingress.wait_version(3, WAIT_S) == Applied(3, [])
    assert (await get(up.port, HOST)).body == "b"


async def test_none_is_told_when_it_is_known(up: IngressHarness, apps: list[Upstream]) -> None:
    """Known to have no endpoint is another thing than not known: it answers 503 at once."""
    await serve(up, apps)
    await start_again(up)
    up.ingress.set_endpoints("dep_a", [])
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a", OTHER: "dep_b"}), 2)
    assert [nack.hostname for nack in (await up.ingress.wait_version(2, WAIT_S)).nacks] == [HOST]
    answer = await get(up.port, HOST)
    assert (answer.status, "has no healthy instance right now" in answer.body) == (503, True)
    assert (await get(up.port, OTHER)).body == "b"


async def test_a_new_envoy_serves_what_is_remembered(up: IngressHarness, apps: list[Upstream]) -> None:
    """With the engine away and Envoy killed, too, the endpoints of before are served; one unknown app holds up none."""
    await serve(up, apps)
    up.envoy.kill()
    await up.server.stop()
    up.new_ingress()
    up.ingress.remember({"dep_a": [apps[0].endpoint()]}, ["10.9.9.9"])
    up.ingress.set_routes(routes_to({HOST: "dep_a", OTHER: "dep_b"}), 2)
    up.ingress.mark_ready()
    assert up.ingress.held_addresses() == frozenset({"127.0.0.1", "10.9.9.9"})
    await up.server.start()
    up.envoy.start()
    assert [nack.hostname for nack in (await up.ingress.wait_version(2, WAIT_S)).nacks] == [OTHER]
    assert (await get(up.port, HOST)).body == "a"
    answer = await get(up.port, OTHER)
    assert (answer.status, answer.body.startswith("503: it is not known yet where")) == (503, True), answer.body
    await until(lambda: up.ingress.held_addresses() == frozenset({"127.0.0.1"}), "this Envoy got no other")


async def test_an_address_is_held_until_envoy_has_let_go(up: IngressHarness, apps: list[Upstream]) -> None:
    """Nobody gets an address to which Envoy may still send requests that are meant for another app."""
    await serve(up, apps)
    for address in ("127.0.0.2", "127.0.0.3"):
        up.ingress.set_endpoints("dep_a", [apps[0].endpoint(), type(apps[0].endpoint())(address, 9, False)])
        await until(lambda a=address: a in (up.ingress.held_addresses() or ()), "it is sent")  # type: ignore[misc]
    await until(lambda: "127.0.0.2" not in (up.ingress.held_addresses() or ()), "Envoy no longer uses the first")
    up.envoy.kill()
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    assert "127.0.0.3" in (up.ingress.held_addresses() or ()), "no Envoy has acknowledged that it is gone"
