from svc.krane.ingress.sharing import CLEAN_REQUESTS, FIRST_PAUSE_S, Counts, Sharing

ENOUGH = CLEAN_REQUESTS


def test_trust_comes_with_answers() -> None:
    """A new app shares nothing until enough of its answers ended well."""
    rule = Sharing()
    assert rule.decide({"a": Counts(ENOUGH - 1)}, 0) == set()
    assert rule.decide({"a": Counts(ENOUGH)}, 1) == {"a"}


def test_an_app_that_closes_unannounced_never_shares() -> None:
    """However many answers it gives."""
    rule = Sharing()
    for tick in range(1, 20):
        assert rule.decide({"a": Counts(100 * tick, tick), "b": Counts(100 * tick)}, tick) == {"b"}


def test_a_close_while_sharing_ends_it_each_time_longer() -> None:
    """An app with a short keep-alive, or one that was restarted, is tried again, ever more rarely."""
    rule = Sharing()
    answers, now = ENOUGH, 0.0
    pauses = []
    assert rule.decide({"a": Counts(answers)}, now) == {"a"}
    for closes in range(1, 10):
        began = now
        assert rule.decide({"a": Counts(answers, closes)}, now) == set()
        shares: frozenset[str] = frozenset()
        while not shares:
            now += 1
            answers += ENOUGH
            shares = rule.decide({"a": Counts(answers, closes)}, now)
        pauses.append(now - began)
    assert pauses == [min(3600, FIRST_PAUSE_S * 2**n) for n in range(9)]


def test_a_new_envoy_knows_nothing() -> None:
    """Its counters begin at 0, and so does trust; what is gone is forgotten."""
    rule = Sharing()
    assert rule.decide({"a": Counts(ENOUGH), "b": Counts(ENOUGH)}, 0) == {"a", "b"}
    assert rule.decide({"a": Counts(1)}, 1) == set()
    assert rule.decide({"a": Counts(ENOUGH), "b": Counts(1)}, 2) == {"a"}
