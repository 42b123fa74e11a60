from hypothesis import given
from hypothesis import strategies as st

from svc.krane.ingress.hostnames import spellings
from svc.krane.ingress.messages import ROUTES, message_class
from svc.krane.ingress.resources import SHARE_KEY
from svc.krane.ingress.table import RouteTable

tables = st.dictionaries(st.sampled_from([f"{c}.x" for c in "abcdef"]), st.sampled_from(["dep_1", "dep_2"]))


@given(st.lists(tables, max_size=6))
def test_the_kept_message_equals_the_last_table(steps: list[dict[str, str]]) -> None:
    """Changing hosts in place never leaves anything of an earlier table behind."""
    table = RouteTable()
    for step in steps:
        message = message_class(ROUTES).FromString(table.set(step))
        assert {v.name: v.routes[0].route.cluster for v in message.virtual_hosts} == step
        assert {v.name: v.routes[1].route.cluster for v in message.virtual_hosts} == step
        assert table.hosts() == [v.name for v in message.virtual_hosts]
        for host in message.virtual_hosts:
            assert list(host.domains) == spellings(host.name)
            assert host.routes[0].match.runtime_fraction.runtime_key == SHARE_KEY + step[host.name]
