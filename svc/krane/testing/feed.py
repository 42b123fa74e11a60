"""Messages of the desired-state feed, and the state that they make."""

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import routing_pb2
from svc.krane.controller.desired import DesiredState

Message = pb.WatchDesiredStateResponse


def topology(deployment_id: str, image_ref: str = "engine:sha256:1", version: int = 1) -> Message:
    """A topology that appears or changes."""
    return Message(version=version, topology=pb.Topology(deployment_id=deployment_id, image_ref=image_ref))


def route(
    hostname: str,
    deployment_id: str,
    version: int = 1,
    sticky: routing_pb2.StickyKind.ValueType = routing_pb2.STICKY_KIND_LIVE,
) -> Message:
    """A route that appears or moves."""
    told = pb.DesiredRoute(hostname=hostname, deployment_id=deployment_id, sticky=sticky)
    return Message(version=version, route=told)


def certificate(certificate_id: str, *names: str, chain: bytes = b"", key: bytes = b"", version: int = 1) -> Message:
    """A certificate that appears or is replaced."""
    told = pb.Certificate(certificate_id=certificate_id, names=names, chain_pem=chain, private_key_pem=key)
    return Message(version=version, certificate=told)


def challenge(token: str, hostname: str, answer: str, version: int = 1) -> Message:
    """A challenge that appears."""
    told = pb.Challenge(token=token, hostname=hostname, key_authorization=answer)
    return Message(version=version, challenge=told)


def begin(epoch: str = "e1", version: int = 1) -> Message:
    """The begin of a snapshot."""
    return Message(version=version, snapshot_begin=pb.SnapshotBegin(epoch=epoch))


def end(version: int = 1) -> Message:
    """The end of a snapshot."""
    return Message(version=version, snapshot_end=pb.SnapshotEnd())


def head(version: int) -> Message:
    """All up to this version was sent."""
    return Message(version=version, head=pb.HeadReached())


def state_of(*messages: Message) -> DesiredState:
    """A desired state that took these messages."""
    state = DesiredState()
    for message in messages:
        state.apply(message)
    return state
