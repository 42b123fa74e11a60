"""What one kind of change is to the feed: the port that each kind implements, and what they render with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from pkg.config.sections import Ingress
from pkg.desired.capabilities import ChangeKind
from pkg.secrets import Vault
from sealift.ctrl.v1 import cluster_pb2 as pb


@dataclass(frozen=True)
class Rendering:
    """What items are rendered with: the key of sealed variables, and how apps are reached."""

    vault: Vault
    ingress: Ingress


class Producer(Protocol):
    """Renders one kind of change as it stands in the database now. The reader fills in the versions.

    A message names in `required_capabilities` what it needs in addition to the kind's own capability.
    """

    kind: ChangeKind

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """Every item of the region."""
        ...

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """The item that a change refers to; its removal when it is not there any more."""
        ...
