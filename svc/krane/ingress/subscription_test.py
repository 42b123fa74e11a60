from typing import Any

from svc.krane.ingress.messages import DiscoveryRequest
from svc.krane.ingress.subscription import AckOutcome, Subscription


def request(nonce: str = "", names: tuple[str, ...] = (), error: str = "", version: str = "") -> Any:
    message = DiscoveryRequest(response_nonce=nonce, resource_names=names, version_info=version)
    if error:
        message.error_detail.message = error
    return message


def test_nothing_may_be_sent_before_it_was_asked_for() -> None:
    """Envoy gets answers only."""
    assert not Subscription().open
    subscription = Subscription()
    assert subscription.receive(request()) is AckOutcome.SUBSCRIBED
    assert (subscription.open, subscription.resumed) == (True, False)


def test_an_envoy_with_a_configuration_is_recognised() -> None:
    """After a restart of krane the first request carries the version that Envoy accepted last."""
    subscription = Subscription()
    subscription.receive(request(version="41"))
    assert subscription.resumed


def test_ack_and_nack_of_the_open_answer() -> None:
    """The nonce of the last answer with an error is a refusal, without one an acknowledgement."""
    subscription = Subscription()
    subscription.receive(request(names=("a",)))
    subscription.sent("1")
    assert not subscription.open
    assert subscription.receive(request("1", ("a",), "bad")) is AckOutcome.REFUSED
    assert (subscription.error, subscription.open) == ("bad", True)
    subscription.sent("2")
    assert subscription.receive(request("2", ("a",))) is AckOutcome.ACKED
    assert subscription.error == ""


def test_stale_nonces_are_ignored() -> None:
    """A late request about an earlier answer neither acknowledges the newer one nor changes the names."""
    subscription = Subscription()
    subscription.receive(request(names=("a",)))
    subscription.sent("1")
    subscription.receive(request("1", ("a",)))
    subscription.sent("2")
    assert subscription.receive(request("1", ("a", "b"))) is AckOutcome.STALE
    assert subscription.names == frozenset({"a"})
    assert not subscription.open
    assert subscription.receive(request("2", ("a", "b"))) is AckOutcome.ACKED
    assert subscription.added == {"b"}


def test_new_names_without_an_open_answer_are_a_subscription() -> None:
    """Envoy repeats the last nonce when it asks for more."""
    subscription = Subscription()
    subscription.receive(request(names=("a",)))
    subscription.sent("1")
    subscription.receive(request("1", ("a",)))
    assert subscription.receive(request("1", ("a", "b"))) is AckOutcome.SUBSCRIBED
    assert subscription.added == {"b"}
