import pytest

from svc.krane.ingress.listener import ListenerSpec, listeners


@pytest.mark.parametrize("listen", ["127.0.0.1:7480", "[::1]:7480"])
def test_the_listen_address_is_parsed(listen: str) -> None:
    """Config says host:port."""
    spec = ListenerSpec.parse(listen)
    assert (spec.host in listen, spec.port) == (True, 7480)


@pytest.mark.parametrize("listen", ["7480", "localhost:80", ":80", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999"])
def test_another_listen_address_is_explained(listen: str) -> None:
    """Envoy would refuse it later and less clearly."""
    with pytest.raises(ValueError, match="is not an IP address and a port"):
        ListenerSpec.parse(listen)


def test_without_trusted_proxies_there_is_one_chain() -> None:
    """Nobody is believed; with some, their networks choose the chain that believes."""
    assert len(listeners(ListenerSpec("127.0.0.1", 80))[0]["filter_chains"]) == 1
    chains = listeners(ListenerSpec("127.0.0.1", 80, None, ("10.0.0.0/8", "::1")))[0]["filter_chains"]
    assert [chain.get("filter_chain_match") for chain in chains] == [
        {
            "source_prefix_ranges": [
                {"address_prefix": "10.0.0.0", "prefix_len": 8},
                {"address_prefix": "::1", "prefix_len": 128},
            ]
        },
        None,
    ]
