from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.route import DeploymentTarget, Route
from svc.krane.ingress.hostnames import spellings
from svc.krane.ingress.messages import ROUTES, message_class
from svc.krane.ingress.resources import SHARE_KEY
from svc.krane.ingress.table import RouteTable
from svc.krane.testing.routes import routes_to

tables = st.dictionaries(st.sampled_from([f"{c}.x" for c in "abcdef"]), st.sampled_from(["dep_1", "dep_2"]))


@given(st.lists(tables, max_size=6))
def test_the_kept_message_equals_the_last_table(steps: list[dict[str, str]]) -> None:
    """Changing hosts in place never leaves anything of an earlier table behind."""
    table = RouteTable()
    for step in steps:
        message = message_class(ROUTES).FromString(table.set(routes_to(step)))
        assert {v.name: v.routes[0].route.cluster for v in message.virtual_hosts} == step
        assert {v.name: v.routes[1].route.cluster for v in message.virtual_hosts} == step
        assert table.hosts() == [v.name for v in message.virtual_hosts]
        for host in message.virtual_hosts:
            assert list(host.domains) == spellings(host.name)
            assert host.routes[0].match.runtime_fraction.runtime_key == SHARE_KEY + step[host.name]


def test_shares_become_weights() -> None:
    """A host that two deployments share, and then one of them gets, keeps nothing of what it was."""
    table = RouteTable()
    shared = Route("a.x", (DeploymentTarget("dep_1", 90), DeploymentTarget("dep_2", 10)))
    (host,) = message_class(ROUTES).FromString(table.set({"a.x": shared})).virtual_hosts
    (route,) = host.routes
    assert [(c.name, c.weight.value) for c in route.route.weighted_clusters.clusters] == [("dep_1", 90), ("dep_2", 10)]
    (host,) = message_class(ROUTES).FromString(table.set(routes_to({"a.x": "dep_2"}))).virtual_hosts
    assert [route.route.cluster for route in host.routes] == ["dep_2", "dep_2"]
