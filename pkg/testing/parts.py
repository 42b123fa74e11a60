"""What `dev/parts/NAME.sh` prepares for tests."""

import os
from pathlib import Path


class PartMissingError(Exception):
    """What these tests run on was not prepared."""


def prepared_part(name: str) -> Path:
    """The folder of `dev/parts/NAME.sh`. Raises PartMissingError, with the remedy, never skips."""
    parts = Path(os.environ.get("SEALIFT_PARTS_DIR", f"/var/tmp/sealift-parts-{os.getuid()}"))  # noqa: S108
    if not (parts / name / "stamp").exists():
        raise PartMissingError(f"there is nothing in {parts / name}: run dev/parts/{name}.sh (`make test` does)")
    return parts / name
