from svc.krane.ingress.listener import ListenerSpec, listeners


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
