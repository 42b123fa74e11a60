"""What earlier deploys packed: a record for each directory, so that an unchanged tree need not be packed again.

A record says "the tree with this fingerprint made the archive with this sha256 and size". It only serves to ask the
server whether it has that archive: what is sent is always packed anew. Nothing here raises, and any doubt counts as no
record. A record holds digests and a size, no paths and no content.
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
    """An archive that was made before.

    Attributes:
        sha256: of the archive.
        size_bytes: of the archive.
        tree_sha256: of the tree without its dates, see `content.tree_sha256`.
    """

    sha256: str
    size_bytes: int
    tree_sha256: str


class ArchiveRecords:
    """The records of this user. Blocking, but small: a file each.

    Args:
        env, home: where they lie, see `CacheFiles`.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
        self._records = CacheFiles("contexts", MAX_RECORD_BYTES, env, home)

    def find(self, context: Context) -> ArchiveRecord | None:
        """What this very tree was packed to, None when that is not known for certain."""
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
        """Keeps that `context` was packed to this; False when it must not or can't be.

        It must not when a file was touched just before the scan: it may have changed since without showing it.
        """
        if not is_settled(context):
            return False
        return self._records.write(json.dumps(_record(context, packed)).encode(), *_place(context))


def _place(context: Context) -> tuple[bytes, bytes]:
    """One record for each directory and Dockerfile, whose ignore file may differ."""
    return os.fsencode(context.root), os.fsencode(context.dockerfile)


def _record(context: Context, packed: ArchiveRecord) -> dict[str, object]:
    return {"fingerprint": fingerprint(context), **asdict(packed)}
