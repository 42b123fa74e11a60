"""What may move a route, as the protos name it."""

from pkg.hostnames import Sticky
from sealift.ctrl.v1 import routing_pb2 as pb

STICKY_KINDS = {
    Sticky.NONE: pb.STICKY_KIND_NONE,
    Sticky.BRANCH: pb.STICKY_KIND_BRANCH,
    Sticky.ENVIRONMENT: pb.STICKY_KIND_ENVIRONMENT,
    Sticky.LIVE: pb.STICKY_KIND_LIVE,
}
