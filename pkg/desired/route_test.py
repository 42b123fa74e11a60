"""Promise: what a route says beyond "all to one deployment" is never sent without saying what it takes."""

from dataclasses import fields, replace

from pkg.desired.capabilities import BASELINE, ROUTE_FIELDS
from pkg.desired.route import AnswerTarget, DeploymentTarget, Route, RoutePolicy, RouteTls

ORDINARY = Route.to("a.x", "dep_a")


def test_every_field_of_a_route_names_a_capability() -> None:
    """A field that is added without a line in the catalogue fails here, not in an old region."""
    assert {field.name for field in fields(Route)} <= ROUTE_FIELDS.keys()
    for value in (RoutePolicy, RouteTls):
        assert {field.name for field in fields(value)} == set(), "name its capability in required_capabilities"


def test_the_ordinary_route_takes_nothing() -> None:
    assert ORDINARY.required_capabilities == frozenset()
    assert ROUTE_FIELDS["hostname"] in BASELINE
    assert (ORDINARY.only_deployment_id, ORDINARY.deployment_ids, str(ORDINARY)) == ("dep_a", ("dep_a",), "dep_a")


def test_each_thing_more_takes_its_own_capability() -> None:
    shared = replace(ORDINARY, targets=(DeploymentTarget("dep_a", 90), DeploymentTarget("dep_b", 10)))
    stopped = Route.answering("a.x", "stopped")
    assert shared.required_capabilities == {"route.weights/1"}
    assert stopped.required_capabilities == {"route.answers/1"}
    assert Route.to("*.a.x", "dep_a").required_capabilities == {"route.wildcards/1"}
    assert (shared.only_deployment_id, stopped.only_deployment_id, stopped.deployment_ids) == ("", "", ())
    assert (str(shared), str(stopped)) == ("dep_a (90 %), dep_b (10 %)", "stopped")


def test_an_answer_is_known_and_gets_all_requests() -> None:
    """What a data plane would have to invent, or serve in part, is refused."""
    assert Route.answering("a.x", "stopped").problem() == ""
    assert "parked is not served" in Route.answering("a.x", "parked").problem()
    for targets in (
        (AnswerTarget("stopped", 50), DeploymentTarget("dep_a", 50)),
        (DeploymentTarget("dep_a", 50), AnswerTarget("stopped", 50)),
        (AnswerTarget("stopped", 99),),
    ):
        assert replace(ORDINARY, targets=targets).problem()


def test_weights_add_up() -> None:
    assert ORDINARY.problem() == ""
    for weights in ((), (50,), (0, 100), (60, 60), (101, -1)):
        targets = tuple(DeploymentTarget(f"dep_{n}", weight) for n, weight in enumerate(weights))
        assert "100 together" in replace(ORDINARY, targets=targets).problem()
