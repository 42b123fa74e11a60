"""Records of packed archives, one per directory, so that an unchanged tree is not packed again.

A record says that the tree with this fingerprint gave the archive with this sha256 and size. It is used only to ask the
server whether it has that archive; an archive to be sent is always packed from the files. Nothing here raises, and a
doubtful record is ignored. A record contains digests and a size, no paths and no content.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sealift.client.cache_files import CacheFiles
from sealift.client.context import Context
from sealift.client.fingerprint import fingerprint, is_settled

MAX_RECORD_BYTES = 4096
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class ArchiveRecord:
    """An archive of an earlier deploy.

    Attributes:
        sha256: of the archive.
        size_bytes: of the archive.
        tree_sha256: of the tree without its modification times, see `content.tree_sha256`.
    """

    sha256: str
    size_bytes: int
    tree_sha256: str


class ArchiveRecords:
    """The records of this user, a small file each. Blocking.

    Args:
        env, home: location of the records, see `CacheFiles`.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
        self._records = CacheFiles("contexts", MAX_RECORD_BYTES, env, home)

    def find(self, context: Context) -> ArchiveRecord | None:
        """The archive of this exact tree; None if unknown."""
        record = self._records.read(*_place(context))
        if record is None:
            return None
        try:
            found = json.loads(record)
            packed = ArchiveRecord(found["sha256"], found["size_bytes"], found["tree_sha256"])
            is_good = (
                isinstance(packed.size_bytes, int)
                and packed.size_bytes > 0
                and _SHA256.fullmatch(packed.sha256)
                and _SHA256.fullmatch(packed.tree_sha256)
                and found == _record(context, packed)
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return packed if is_good else None

    def save(self, context: Context, packed: ArchiveRecord) -> bool:
        """Save the archive of `context`; False if it was not saved.

        It is not saved if a file was written just before the scan, because the file may have changed since undetected.
        """
        if not is_settled(context):
            return False
        return self._records.write(json.dumps(_record(context, packed)).encode(), *_place(context))


def _place(context: Context) -> tuple[bytes, bytes]:
    """The key of a record: directory and Dockerfile, whose ignore file may differ."""
    return os.fsencode(context.root), os.fsencode(context.dockerfile)


def _record(context: Context, packed: ArchiveRecord) -> dict[str, object]:
    return {"fingerprint": fingerprint(context), **asdict(packed)}
