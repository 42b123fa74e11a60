"""Build contexts in, images out.

`port.Builder` is what the worker sees; a backend (`docker`: the BuildKit of a Docker engine) is an adapter. Backends
differ in how they reach a BuildKit and where the image ends up. A build fails with `BuildFailed` (the user's fault: do
not retry) or `BuilderUnavailable` (ours: another attempt may succeed).
"""

from pkg.builders.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.builders.port import Builder, BuilderConfig, BuildSink, BuildSpec, BuiltImage
from pkg.builders.sink import TelemetrySink

__all__ = [
    "BuildFailed",
    "BuildSink",
    "BuildSpec",
    "Builder",
    "BuilderConfig",
    "BuilderUnavailable",
    "BuiltImage",
    "FailureKind",
    "TelemetrySink",
]
