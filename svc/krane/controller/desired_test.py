"""The desired state in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.route import AnswerTarget, DeploymentTarget, Route
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import routing_pb2
from svc.krane.controller.desired import DesiredState, FeedError
from svc.krane.ingress.port import Certificate, Challenge
from svc.krane.testing.feed import Message, begin, certificate, challenge, end, head, route, state_of, topology
from svc.krane.testing.routes import routes_to


def test_a_snapshot_is_invisible_until_its_end() -> None:
    # Promise: half a snapshot never replaces a whole one.
    state = state_of(begin(), topology("dep_a"), route("a.x", "dep_a"), end())
    state.apply(begin("e2", 9))
    state.apply(topology("dep_b", version=9))
    assert state.deployment_ids() == {"dep_a"}
    assert (state.epoch, state.version) == ("e1", 1)
    state.abandon_staged()
    with pytest.raises(FeedError):
        state.apply(end(9))
    assert state.routes() == routes_to({"a.x": "dep_a"})


def test_what_was_stopped_is_forgotten_once_it_is_gone() -> None:
    # Promise: what krane keeps does not grow with every deployment there ever was; what is to run stays.
    stopped = topology("dep_a", version=2)
    stopped.topology.stopped = True
    state = state_of(begin(), topology("dep_a"), topology("dep_b"), end(), stopped)
    assert state.deployment_ids() == {"dep_a", "dep_b"}
    for deployment_id in ("dep_a", "dep_a", "dep_b", "dep_c"):
        state.forget_stopped(deployment_id)
    assert state.deployment_ids() == {"dep_b"}
    state.apply(topology("dep_a", version=3))
    state.forget_stopped("dep_a")
    assert state.deployment_ids() == {"dep_a", "dep_b"}


def with_worker(deployment_id: str, version: int = 1) -> Message:
    """A topology with a worker."""
    made = topology(deployment_id, version=version)
    made.topology.settings.processes.values.add(name="worker", replicas=2).command.values.append("work")
    return made


def test_processes_are_workloads_of_their_deployment() -> None:
    """Promise: each has a topology of its own that follows the deployment's, and is routed as that is."""
    state = state_of(begin(), with_worker("dep_a"), topology("dep_b"), route("a.x", "dep_a"), end())
    assert state.deployment_ids() == {"dep_a", "dep_a.worker", "dep_b"}
    assert state.workloads("dep_a") == {"dep_a", "dep_a.worker"}
    assert state.workloads("dep_c") == frozenset()
    derived = state.topology("dep_a.worker")
    assert derived is not None
    assert (derived.deployment_id, derived.settings.replicas) == ("dep_a.worker", 2)
    assert state.topology("dep_a.worker") is derived
    assert state.is_routed("dep_a.worker")
    assert not state.is_routed("dep_b.worker")
    assert state.topology("dep_b.worker") is None
    changed = with_worker("dep_a", 2)
    changed.topology.processes_stopped = True
    change = state.apply(changed)
    assert change is not None
    assert change.deployments == {"dep_a"}
    derived = state.topology("dep_a.worker")
    assert derived is not None
    assert (derived.stopped, state.is_stopped("dep_a.worker")) == (True, False)
    state.apply(pb.WatchDesiredStateResponse(version=3, topology_removed=pb.TopologyRemoved(deployment_id="dep_a")))
    assert state.topology("dep_a.worker") is None
    assert state.is_stopped("dep_a.worker")


def test_what_was_stopped_is_forgotten_once_all_of_it_is_gone() -> None:
    """Promise: while an instance of web or of a process is there, what redacts its last lines is known."""
    stopped = with_worker("dep_a", 2)
    stopped.topology.stopped = True
    for order in (("dep_a", "dep_a.worker"), ("dep_a.worker", "dep_a")):
        state = state_of(begin(), with_worker("dep_a"), end(), stopped)
        state.forget_stopped(order[0])
        state.forget_stopped(order[0])
        assert state.topology("dep_a") is not None
        assert state.topology("dep_a.worker") is not None
        state.forget_stopped(order[1])
        assert state.deployment_ids() == frozenset()
    state = state_of(begin(), with_worker("dep_a"), end(), stopped)
    state.forget_stopped("dep_a")
    again = with_worker("dep_a", 3)
    state.apply(again)  # it runs again, and stops again
    later = with_worker("dep_a", 4)
    later.topology.stopped = True
    state.apply(later)
    state.forget_stopped("dep_a.worker")
    assert state.topology("dep_a") is not None


def test_a_new_snapshot_names_what_went_came_and_changed() -> None:
    # Promise: only the deployments that differ are worked on.
    state = state_of(begin(), topology("dep_a"), topology("dep_b"), topology("dep_c"), end())
    for message in (begin("e2", 5), topology("dep_b", version=5), topology("dep_c", "engine:sha256:2", 5)):
        assert state.apply(message) is None
    change = state.apply(end(5))
    assert change is not None
    assert change.deployments == {"dep_a", "dep_c"}
    assert change.snapshot
    assert change.routes
    assert (state.epoch, state.version) == ("e2", 5)


def test_certificates_and_challenges_come_and_go() -> None:
    """Promise: the ingress has exactly those that the feed has."""
    state = state_of(begin(), end())
    for message in (certificate("crt_1", "a.x", "*.x", chain=b"chain", key=b"key", version=2), head(2)):
        change = state.apply(message)
    assert change is not None
    assert not change.routes
    assert state.certificates() == {"crt_1": Certificate("crt_1", ("a.x", "*.x"), b"chain", b"key", 0)}
    assert "key" not in repr(state.certificates()["crt_1"]).replace("private_key_pem", "")
    change = state.apply(challenge("token", "a.x", "token.print", 3))
    assert change is not None
    assert (change.ingress, change.routes) == (True, False)
    assert state.challenges() == {"token": Challenge("token", "a.x", "token.print")}
    state.apply(pb.WatchDesiredStateResponse(version=4, challenge_removed=pb.ChallengeRemoved(token="token")))
    gone = pb.CertificateRemoved(certificate_id="crt_1")
    state.apply(pb.WatchDesiredStateResponse(version=5, certificate_removed=gone))
    assert (state.certificates(), state.challenges()) == ({}, {})


def test_changes_before_a_snapshot_are_refused() -> None:
    # Promise: krane never acts on an incomplete picture.
    state = DesiredState()
    with pytest.raises(FeedError):
        state.apply(topology("dep_a"))
    with pytest.raises(FeedError):
        state.apply(head(3))
    assert not state.is_complete


def test_a_message_without_an_event_is_refused() -> None:
    # Promise: what says nothing at all is no news of a later api, but a broken feed.
    with pytest.raises(FeedError, match="without an event"):
        state_of(begin(), end()).apply(Message(version=2))


def test_changes_known_already_do_nothing() -> None:
    # Promise: the feed may repeat itself.
    state = state_of(begin(version=7), topology("dep_a", version=7), end(7))
    assert state.apply(topology("dep_a", "engine:sha256:old", 3)) is None
    found = state.topology("dep_a")
    assert found is not None
    assert found.image_ref == "engine:sha256:1"


def test_only_the_api_confirms() -> None:
    # Promise: a snapshot from disk is complete, but nothing may be deleted on its word.
    state = DesiredState()
    for message in (begin(), topology("dep_a"), end()):
        state.apply(message, from_api=False)
    assert (state.is_complete, state.is_confirmed) == (True, False)
    state.apply(head(4))
    assert (state.is_complete, state.is_confirmed) == (True, True)
    assert state.version == 4


def test_routes_come_and_go_with_their_versions() -> None:
    # Promise: a refused route is reported with the version that set it.
    state = state_of(begin(), topology("dep_a"), end(), route("a.x", "dep_a", 4), route("b.x", "dep_a", 6))
    assert state.route_version("a.x") == 4
    assert state.probe_hosts("dep_a") == ("a.x",)
    state.apply(Message(version=7, route_removed=pb.RouteRemoved(hostname="a.x")))
    assert state.routes() == routes_to({"b.x": "dep_a"})
    assert state.is_routed("dep_a")
    assert not state.is_routed("dep_b")


def test_a_route_may_have_several_targets() -> None:
    # Promise: a deployment that gets a part of the requests is routed and live like one that gets all.
    shared = route("a.x", "")
    for deployment_id, weight in (("dep_a", 90), ("dep_b", 10)):
        shared.route.targets.add(deployment_id=deployment_id, weight=weight)
    state = state_of(begin(), shared, end())
    targets = (DeploymentTarget("dep_a", 90), DeploymentTarget("dep_b", 10))
    assert state.routes() == {"a.x": Route("a.x", targets)}
    for deployment_id in ("dep_a", "dep_b"):
        assert state.is_routed(deployment_id)
        assert state.is_live(deployment_id)
        assert state.probe_hosts(deployment_id) == ("a.x",)
    assert not state.is_routed("dep_c")
    answered = route("b.x", "")
    answered.route.targets.add(answer="stopped", weight=100)
    assert state_of(begin(), answered, end()).routes() == {"b.x": Route("b.x", (AnswerTarget("stopped"),))}


def test_a_standby_is_routed_and_not_live() -> None:
    # Promise: the hostname of a standby alone gives it nothing that is kept for what users are sent to.
    own = route("a-1.x", "dep_a", 2, routing_pb2.STICKY_KIND_NONE)
    state = state_of(begin(), topology("dep_a"), own, end())
    assert (state.is_routed("dep_a"), state.is_live("dep_a")) == (True, False)
    for sticky in (routing_pb2.STICKY_KIND_BRANCH, routing_pb2.STICKY_KIND_ENVIRONMENT, routing_pb2.STICKY_KIND_LIVE):
        state.apply(route("a.x", "dep_a", 3, sticky))
        assert state.is_live("dep_a")
        assert not state.is_live("dep_b")
        state.apply(Message(version=3, route_removed=pb.RouteRemoved(hostname="a.x")))
    assert not state.is_live("dep_a")


def test_what_is_live_in_an_environment() -> None:
    """Promise: it is what the environment's own hostnames lead to; a branch's or a deployment's own say nothing."""
    state = state_of(begin(), topology("dep_a"), topology("dep_b"), end())
    for deployment_id, environment_id in (("dep_a", "env_1"), ("dep_b", "env_2")):
        message = topology(deployment_id, version=2)
        message.topology.environment_id = environment_id
        state.apply(message)
    for sticky in (routing_pb2.STICKY_KIND_NONE, routing_pb2.STICKY_KIND_BRANCH):
        state.apply(route("a.x", "dep_a", 3, sticky))
        assert state.live_of("env_1") == ""
    for sticky in (routing_pb2.STICKY_KIND_ENVIRONMENT, routing_pb2.STICKY_KIND_LIVE):
        state.apply(route("a.x", "dep_a", 4, sticky))
        assert (state.live_of("env_1"), state.live_of("env_2")) == ("dep_a", "")
    state.apply(route("b.x", "dep_gone", 5))
    assert state.live_of("env_2") == ""


def test_probes_ask_for_the_deployments_own_address() -> None:
    # Promise: an app with a list of its hosts can be probed before any route leads there, with the port that users see.
    state = state_of(begin(), end())
    assert state.probe_hosts("dep_a") == ("localhost",)
    told = pb.Topology(deployment_id="dep_a", own_authority="a-dep.x:7480", public_url="http://a.x:7480")
    state.apply(Message(version=9, topology=told))
    assert state.probe_hosts("dep_a") == ("a-dep.x:7480", "a.x:7480")


NAMES = st.sampled_from(["dep_a", "dep_b", "dep_c"])
HOSTS = st.sampled_from(["a.x", "b.x"])
EVENTS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.sampled_from(["engine:1", "engine:2"])),
    st.tuples(st.just("remove"), NAMES, st.just("")),
    st.tuples(st.just("route"), NAMES, HOSTS),
    st.tuples(st.just("unroute"), st.just(""), HOSTS),
)


def as_message(event: tuple[str, str, str], version: int) -> Message:
    kind, deployment_id, other = event
    if kind == "put":
        return topology(deployment_id, other, version)
    if kind == "remove":
        return Message(version=version, topology_removed=pb.TopologyRemoved(deployment_id=deployment_id))
    if kind == "route":
        return route(other, deployment_id, version)
    return Message(version=version, route_removed=pb.RouteRemoved(hostname=other))


@given(st.lists(EVENTS, max_size=25))
def test_replaying_the_stored_messages_gives_the_same_state(events: list[tuple[str, str, str]]) -> None:
    # Promise: what is stored is exactly what was in force, at any moment.
    state = state_of(begin(), end())
    for version, event in enumerate(events, start=2):
        state.apply(as_message(event, version))
    again = state_of(*state.messages())
    assert again.deployment_ids() == state.deployment_ids()
    assert again.routes() == state.routes()
    assert (again.version, again.epoch) == (state.version, state.epoch)
    assert all(again.topology(d) == state.topology(d) for d in state.deployment_ids())
    assert all(again.route_version(h) == state.route_version(h) for h in state.routes())
