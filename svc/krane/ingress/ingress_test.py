import asyncio
from typing import Any

import pytest

from pkg.desired.route import AnswerTarget, DeploymentTarget, Route
from pkg.errors import InvalidArgument
from pkg.testing.wait import WAIT_S
from svc.krane.ingress import spec as spec_module
from svc.krane.ingress.ingress import EnvoyIngress
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.messages import CLUSTER, ENDPOINTS, ROUTES, TYPE_PREFIX
from svc.krane.ingress.port import Applied, Endpoint, Ingress
from svc.krane.ingress.testing import IngressHarness, Upstream, get, until
from svc.krane.testing.routes import routes_to

HOST = "app.sealift.localhost"
OTHER = "other.sealift.localhost"


def record(up: IngressHarness, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is sent and what Envoy says to it, in order: ("sent" | "acked" | "refused", type)."""
    seen: list[tuple[str, str]] = []
    answer, receive = up.ingress.next_answer, up.ingress.receive

    def next_answer(session: Any) -> Any:
        response = answer(session)
        if response is not None:
            seen.append(("sent", response.type_url.removeprefix(TYPE_PREFIX)))
        return response

    def received(session: Any, request: Any) -> None:
        kind = request.type_url.removeprefix(TYPE_PREFIX)
        open_before = session.subscriptions[kind].waiting
        receive(session, request)
        if open_before and not session.subscriptions[kind].waiting:
            seen.append(("refused" if request.HasField("error_detail") else "acked", kind))

    monkeypatch.setattr(up.ingress, "next_answer", next_answer)
    monkeypatch.setattr(up.ingress, "receive", received)
    return seen


def port_is_implemented(spec: ListenerSpec) -> Ingress:
    """For mypy: the class fits the port."""
    return EnvoyIngress(spec)


async def test_make_before_break(up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters and endpoints are acknowledged before a route names them; clusters leave only after the routes did."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    assert await up.ingress.wait_version(1, WAIT_S) == up_to(1)

    seen = record(up, monkeypatch)
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    assert up.ingress.lists("dep_a")
    assert await up.ingress.wait_version(2, WAIT_S) == up_to(2)
    routes_sent = seen.index(("sent", ROUTES))
    assert seen.index(("sent", CLUSTER)) < seen.index(("acked", CLUSTER)) < routes_sent
    assert seen.index(("sent", ENDPOINTS)) < seen.index(("acked", ENDPOINTS)) < routes_sent
    assert (await get(up.port, HOST)).body == "b"

    seen.clear()
    up.ingress.remove_deployment("dep_a")
    assert await up.ingress.wait_unlisted("dep_a", WAIT_S)
    await until(lambda: ("acked", CLUSTER) in seen, "the old cluster leaves")
    assert ("sent", ROUTES) not in seen
    assert (await get(up.port, HOST)).body == "b"


def up_to(version: int) -> Applied:
    """Applied without nacks."""
    return Applied(version, [])


async def test_lists_follows_the_acknowledged_table(up: IngressHarness, apps: list[Upstream]) -> None:
    """krane never stops an instance that Envoy may still send to."""
    a, b, _ = apps
    assert up.ingress.lists("dep_a")  # nothing is known before the first acknowledgement
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    await up.ingress.wait_version(1, WAIT_S)
    assert up.ingress.lists("dep_a")
    assert not up.ingress.lists("dep_b")
    assert await up.ingress.wait_unlisted("dep_b", 0.01)  # was never listed: nothing to drain
    assert not await up.ingress.wait_unlisted("dep_a", 0.05)

    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    waiter = asyncio.create_task(up.ingress.wait_unlisted("dep_a", WAIT_S))
    await up.ingress.wait_version(2, WAIT_S)
    assert not up.ingress.lists("dep_a")
    assert not waiter.done()  # the drain is not over
    assert await waiter


async def test_a_request_in_flight_survives_the_end_of_its_cluster(up: IngressHarness, apps: list[Upstream]) -> None:
    """Removing a drained deployment from Envoy does not cut a slow answer."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    await up.ingress.wait_version(1, WAIT_S)
    slow = asyncio.create_task(get(up.port, HOST, "/slow"))
    await until(lambda: a.requests == 1, "the slow request arrives")
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    up.ingress.remove_deployment("dep_a")
    assert await up.ingress.wait_unlisted("dep_a", WAIT_S)
    await until_cluster_gone(up, "dep_a")
    a.release.set()
    reply = await slow
    assert (reply.status, reply.body) == (200, "a")


async def until_cluster_gone(up: IngressHarness, deployment_id: str) -> None:
    """Asks Envoy itself."""
    for _ in range(400):
        if f"\n{deployment_id}::" not in "\n" + await up.envoy.admin("/clusters"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{deployment_id} is still a cluster of Envoy")


async def test_a_route_is_held_until_its_target_is_healthy(up: IngressHarness, apps: list[Upstream]) -> None:
    """A failed deploy never changes what is served, and is named at once; it holds back no other deploy."""
    a, b, c = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    await up.ingress.wait_version(1, WAIT_S)

    up.ingress.set_endpoints("dep_b", [b.endpoint(healthy=False)])
    up.ingress.set_endpoints("dep_c", [c.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_b", OTHER: "dep_c"}), 5)
    held = await up.ingress.wait_version(5, WAIT_S)
    assert [nack.hostname for nack in held.nacks] == [HOST]
    assert "dep_a is still served" in held.nacks[0].message
    assert (await get(up.port, HOST)).body == "a"
    assert (await get(up.port, OTHER)).body == "c"  # other work continues

    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    assert await up.ingress.wait_nacks(held.nacks, WAIT_S)
    assert await up.ingress.wait_version(5, WAIT_S) == up_to(5)
    assert (await get(up.port, HOST)).body == "b"


async def test_a_removed_deployment_is_served_until_its_routes_moved(up: IngressHarness, apps: list[Upstream]) -> None:
    """Removing too early costs nobody an answer: cluster and endpoints stay while a served route names them."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    await up.ingress.wait_version(1, WAIT_S)
    up.ingress.set_endpoints("dep_b", [b.endpoint(healthy=False)])
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    up.ingress.remove_deployment("dep_a")
    assert not await up.ingress.wait_unlisted("dep_a", 0.3)
    assert (await get(up.port, HOST)).body == "a"
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    assert await up.ingress.wait_unlisted("dep_a", WAIT_S)
    assert (await get(up.port, HOST)).body == "b"
    await until_cluster_gone(up, "dep_a")


async def test_a_new_host_without_an_instance_answers_503_and_is_named(
    up: IngressHarness, apps: list[Upstream]
) -> None:
    """A route is reported as working only once it does; what is unknown is not reported as none."""
    a, *_ = apps
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 3)
    applied = await up.ingress.wait_version(3, WAIT_S)
    assert [(nack.version, nack.hostname) for nack in applied.nacks] == [(3, HOST)]
    assert "not known yet" in applied.nacks[0].message
    assert (await get(up.port, HOST)).status == 503
    up.ingress.set_endpoints("dep_a", [])
    assert await up.ingress.wait_nacks(applied.nacks, WAIT_S)
    assert "no healthy instance" in (await up.ingress.wait_version(3, WAIT_S)).nacks[0].message
    assert (await get(up.port, HOST)).status == 503
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    assert await up.ingress.wait_version(3, WAIT_S) == up_to(3)
    assert (await get(up.port, HOST)).body == "a"


async def test_a_bad_hostname_is_refused_alone(up: IngressHarness, apps: list[Upstream]) -> None:
    """One bad route cannot poison the table: it is named with the reason and the others are applied."""
    a, *_ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a", "No_Such Name": "dep_a"}), 4)
    applied = await up.ingress.wait_version(4, WAIT_S)
    assert applied.version == 4
    assert [(n.version, n.hostname) for n in applied.nacks] == [(4, "No_Such Name")]
    assert "lower case" in applied.nacks[0].message
    assert (await get(up.port, HOST)).body == "a"
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 5)
    assert await up.ingress.wait_version(5, WAIT_S) == up_to(5)


async def test_what_envoy_refuses_is_quarantined(
    up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a bad name pass our own check, Envoy's NACK is surfaced and costs the other routes nothing."""
    monkeypatch.setattr(spec_module, "routed_hostname_problem", lambda _hostname: "")
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    many = {f"h{n}.sealift.localhost": "dep_a" for n in range(30)}
    up.ingress.set_routes(routes_to(many), 1)
    await up.ingress.wait_version(1, WAIT_S)
    seen = record(up, monkeypatch)
    # One that Envoy names in its message, one that it does not (the message is cut after 30 hosts).
    up.ingress.set_routes(
        routes_to(dict.fromkeys(many, "dep_b") | {"H3.sealift.localhost": "dep_b", "a\nb": "dep_b"}), 2
    )
    applied = await up.ingress.wait_version(2, WAIT_S)
    assert ("refused", ROUTES) in seen
    assert applied.version == 2
    assert sorted(n.hostname for n in applied.nacks) == ["H3.sealift.localhost", "a\nb"]
    assert "Duplicate entry" in applied.nacks[0].message
    for hostname in many:
        assert (await get(up.port, hostname)).body == "b"


async def test_an_endpoint_change_touches_endpoints_only(
    up: IngressHarness, apps: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health changes cost one small answer."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint(), b.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    await up.ingress.wait_version(1, WAIT_S)
    assert {(await get(up.port, HOST)).body for _ in range(20)} == {"a", "b"}

    seen = record(up, monkeypatch)
    up.ingress.set_endpoints("dep_a", [a.endpoint(healthy=False), b.endpoint()])
    await until(lambda: ("acked", ENDPOINTS) in seen, "the endpoints are acknowledged")
    assert {kind for _, kind in seen} == {ENDPOINTS}
    assert {(await get(up.port, HOST)).body for _ in range(20)} == {"b"}
    up.ingress.set_endpoints("dep_a", [a.endpoint(healthy=False), b.endpoint(healthy=False)])
    await until(lambda: len(seen) >= 4, "the endpoints are acknowledged")
    assert (await get(up.port, HOST)).status == 503  # no panic routing to endpoints known dead
    assert up.ingress.applied_version == 1


async def test_a_deployment_that_returns_before_it_left_is_served(up: IngressHarness, apps: list[Upstream]) -> None:
    """Removing and adding the same deployment in quick succession never leaves a cold cluster behind."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    for round_ in range(1, 31):
        up.ingress.set_endpoints("dep_a", [a.endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_a" if round_ % 2 else "dep_b"}), round_)
        assert (await up.ingress.wait_version(round_, WAIT_S)).version == round_
        up.ingress.remove_deployment("dep_a")
        await asyncio.sleep(0.01 * (round_ % 14))
        assert (await get(up.port, HOST)).body == ("a" if round_ % 2 else "b")


async def test_one_change_among_a_thousand_hosts_is_quick(up: IngressHarness, apps: list[Upstream]) -> None:
    """A route change does not become slow with 1,000 hosts: 10 ms where nothing else runs."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    routes = {f"h{n}.sealift.localhost": "dep_a" for n in range(1000)}
    up.ingress.set_routes(routes_to(routes), 1)
    await up.ingress.wait_version(1, WAIT_S)
    loop = asyncio.get_running_loop()
    took = []
    for n in range(2, 9):
        hostname = f"h{n * 100}.sealift.localhost"
        routes[hostname] = "dep_b"
        begin = loop.time()
        up.ingress.set_routes(routes_to(routes), n)
        assert (await up.ingress.wait_version(n, WAIT_S)).version == n
        assert (await get(up.port, hostname)).body == "b"
        took.append(loop.time() - begin)
    assert min(took) < 0.2, took  # the best of seven: other work on the machine is not the ingress's


async def test_bad_endpoints_are_refused_at_once(up: IngressHarness) -> None:
    """A name instead of an address is the caller's fault and changes nothing."""
    with pytest.raises(InvalidArgument, match="not an IP address"):
        up.ingress.set_endpoints("dep_a", [Endpoint("localhost", 80, True)])
    with pytest.raises(InvalidArgument, match="not a deployment id"):
        up.ingress.set_endpoints("dep a", [])


async def test_a_restored_control_plane_may_start_over(up: IngressHarness, apps: list[Upstream]) -> None:
    """After a restore versions are lower: they are applied like any other."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 100)
    await up.ingress.wait_version(100, WAIT_S)
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 3)
    assert await up.ingress.wait_version(3, WAIT_S) == up_to(3)
    assert (await get(up.port, HOST)).body == "b"


async def test_requests_are_shared_out_by_weight(up: IngressHarness, apps: list[Upstream]) -> None:
    """A route with two targets sends requests to both, about as asked; one that cannot be served is named."""
    a, b, _ = apps
    up.ingress.set_endpoints("dep_a", [a.endpoint()])
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    shared = Route(HOST, (DeploymentTarget("dep_a", 80), DeploymentTarget("dep_b", 20)))
    unknown = Route(OTHER, (AnswerTarget("parked"),))
    up.ingress.set_routes({HOST: shared, OTHER: unknown}, 1)
    applied = await up.ingress.wait_version(1, WAIT_S)
    assert [(nack.hostname, "parked is not served" in nack.message) for nack in applied.nacks] == [(OTHER, True)]
    answers = [await get(up.port, HOST) for _ in range(100)]
    assert {answer.headers["x-sealift-deployment"] for answer in answers} == {"dep_a", "dep_b"}
    assert 60 <= sum(answer.body == "a" for answer in answers) <= 95
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    assert await up.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    assert {(await get(up.port, HOST)).body for _ in range(20)} == {"b"}
