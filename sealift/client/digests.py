"""Digests of contents, and of a tree without its dates."""

import hashlib
import os
from collections.abc import Mapping
from typing import BinaryIO

from sealift.client.context import Context

PIECE_BYTES = 1 << 20


def content_hash() -> "hashlib.blake2b":
    """A new hash for one file: as fast as files are read, and of a size that tables of many files bear."""
    return hashlib.blake2b(digest_size=16)


def digest_of(file: BinaryIO, size_bytes: int) -> bytes:
    """The digest of a file's next `size_bytes`, or of what is there if that is less. Raises OSError."""
    digest = content_hash()
    while size_bytes and (piece := file.read(min(size_bytes, PIECE_BYTES))):
        digest.update(piece)
        size_bytes -= len(piece)
    return digest.digest()


def tree_sha256(context: Context, digests: Mapping[str, bytes]) -> str:
    """The identity of a tree as an author sees it: paths, kinds, modes, targets and contents, whatever the dates.

    Args:
        context: the tree.
        digests: of the content of every file in it, by its path.
    """
    digest = hashlib.sha256(b"sealift tree 1\n")
    for entry in context.entries:
        content = digests.get(entry.path, b"").hex()
        facts = f"{entry.kind.value} {entry.mode:o} {content}"
        # neither a path nor a target holds a NUL, so no two trees make the same text
        digest.update(b"\0".join((facts.encode(), os.fsencode(entry.path), os.fsencode(entry.target), b"\n")))
    return digest.hexdigest()
