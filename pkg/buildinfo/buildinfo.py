"""Build information of an image: version, revision, date."""

from functools import cache
from pathlib import Path

import msgspec

from sealift import __version__

UNKNOWN = "unknown"
_FILE = Path(__file__).with_name("buildinfo.json")


class BuildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a build comes from.

    Attributes:
        version: "v1.2.3" of a release, "dev" of another image, the distribution's version outside of images.
        revision: commit; "unknown" unless released.
        built_at: UTC, as 2026-01-31T12:00:00Z: when the commit was made, so that a rebuild gives the same bytes.
    """

    version: str
    revision: str = UNKNOWN
    built_at: str = UNKNOWN

    def __str__(self) -> str:
        return f"{self.version} (revision {self.revision}, built {self.built_at})"


@cache
def current() -> BuildInfo:
    """Build information of the running code."""
    return read(_FILE)


def read(path: Path) -> BuildInfo:
    """Build information from the JSON file `path`, or that of a checkout."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=BuildInfo)
    except (OSError, msgspec.MsgspecError):
        return BuildInfo(version=__version__)
