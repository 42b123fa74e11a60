"""Which version of a service runs: what its image was stamped with.

Bazel puts `stamp.json` beside this file in every image. `current` reads it; from a checkout, where there is none, the
version is that of the Python distribution. Does not fail: a stamp that cannot be read is an unknown one.
"""

from pkg.stamp.stamp import UNKNOWN, Stamp, current, read

__all__ = ["UNKNOWN", "Stamp", "current", "read"]
