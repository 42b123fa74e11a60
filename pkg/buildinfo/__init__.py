"""Build information: which version of a service runs.

Bazel puts `buildinfo.json` into this folder in every image. `current` reads it; in a checkout, where there is none, the
version is that of the Python distribution. Never raises: a file that cannot be read gives an unknown revision.
"""

from pkg.buildinfo.buildinfo import UNKNOWN, BuildInfo, current, read

__all__ = ["UNKNOWN", "BuildInfo", "current", "read"]
