"""Digests of file contents, and of a tree without its modification times."""

import hashlib
import os
from collections.abc import Mapping
from typing import BinaryIO

from sealift.client.context import Context

PIECE_BYTES = 1 << 20


def content_hash(content: bytes = b"") -> "hashlib.blake2b":
    """A new hash for one file: fast, and small enough for records of many files."""
    return hashlib.blake2b(content, digest_size=16)


def digest_of(file: BinaryIO, size_bytes: int) -> bytes:
    """The digest of a file's next `size_bytes`, or of fewer if it ends. Raises OSError."""
    digest = content_hash()
    while size_bytes and (piece := file.read(min(size_bytes, PIECE_BYTES))):
        digest.update(piece)
        size_bytes -= len(piece)
    return digest.digest()


def tree_sha256(context: Context, digests: Mapping[str, bytes]) -> str:
    """The digest of a tree: paths, kinds, modes, link targets and contents, without modification times.

    Args:
        context: the tree.
        digests: path -> content digest of every file.
    """
    digest = hashlib.sha256(b"sealift tree 1\n")
    for entry in context.entries:
        content = digests.get(entry.path, b"").hex()
        facts = f"{entry.kind.value} {entry.mode:o} {content}"
        # paths and targets contain no NUL, so different trees give different input
        digest.update(b"\0".join((facts.encode(), os.fsencode(entry.path), os.fsencode(entry.target), b"\n")))
    return digest.hexdigest()
