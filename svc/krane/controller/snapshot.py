"""The last complete desired state on disk, so that krane serves and heals while the control plane is away.

A sealed file: a header, then the feed's own messages of a snapshot. It holds tenants' variables.
"""

import logging
from pathlib import Path

import msgspec
from google.protobuf.message import DecodeError

from pkg.desired.capabilities import registered
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.desired import DesiredState, FeedError
from svc.krane.controller.sealed_file import SealedFile
from svc.krane.controller.write_behind import WriteBehind

log = logging.getLogger(__name__)


class _Header(msgspec.Struct):
    """Before the messages.

    Attributes:
        capabilities: of the krane that stored it; none: it is from before they were recorded.
        unsupported: versions of changes that it did not understand.
    """

    installation_id: str
    capabilities: tuple[str, ...] = ()
    unsupported: tuple[int, ...] = ()


class SnapshotFile:
    """The file `desired.snapshot` in krane's state directory. See `SealedFile` for its writes."""

    def __init__(self, folder: Path, key_file_content: bytes, region: str) -> None:
        purpose = b"sealift krane snapshot\0" + region.encode()
        self.sealed = SealedFile(folder / "desired.snapshot", b"SLKS1\n", key_file_content.strip(), purpose)

    def load(self, into: DesiredState) -> str | None:
        """Brings the stored state into force; answers the installation it is of, or None when there is none usable.

        A file that is damaged or of another key is logged and left alone: the next write replaces it.
        """
        try:
            frames = self.sealed.load()
            header = msgspec.json.decode(frames[0], type=_Header)
            messages = [pb.WatchDesiredStateResponse.FromString(frame) for frame in frames[1:]]
            fresh = DesiredState()
            for message in messages:
                fresh.apply(message, from_api=False)
            if not fresh.is_complete:
                raise ValueError("no end mark")
        except FileNotFoundError:
            return None
        except (ValueError, msgspec.DecodeError, DecodeError, FeedError) as error:
            log.warning("the stored snapshot cannot be used; waiting for the api", extra=fields(error=str(error)))
            return None
        for message in messages:
            into.apply(message, from_api=False)
        into.note_unsupported(header.unsupported)
        # what another krane skipped may be what this one understands
        into.is_partial = registered(header.capabilities) != into.capabilities
        return header.installation_id

    def frames(self, state: DesiredState, installation_id: str) -> list[bytes]:
        """The file's content for the state in force."""
        capabilities, unsupported = tuple(sorted(state.capabilities)), tuple(state.unsupported_versions())
        header = msgspec.json.encode(_Header(installation_id, capabilities, unsupported))
        return [header, *(message.SerializeToString() for message in state.messages())]


def snapshot_writer(file: SnapshotFile, state: DesiredState, installation_id: str) -> WriteBehind:
    """Writes the state in force after every change."""
    return WriteBehind(file.sealed, lambda: file.frames(state, installation_id))
