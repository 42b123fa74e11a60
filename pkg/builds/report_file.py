"""Files by which one process of a machine tells another one something about builds."""

import os
from pathlib import Path

import msgspec


def replace(path: Path, report: object) -> None:
    """Give the file this content as JSON, in one step: readers see it before or after. Raises OSError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(report))
    draft.replace(path)
