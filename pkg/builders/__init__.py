"""Build contexts in, images out.

`port.Builder` is what the worker uses. Each adapter is a folder (`docker`: the BuildKit of a Docker engine); its
configuration section opens it, and `factory` lists the sections. Adapters differ in how they reach a BuildKit
(`buildkit`, its client) and where the image ends up. A build fails with `BuildFailed` (what was to be built is at
fault: do not retry) or `BuilderUnavailable` (another attempt may succeed).
"""
