import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pkg.envoy import bootstrap, command, find_binary
from pkg.testing.wait import WAIT_S


@pytest.fixture
def short_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sl-") as name:
        yield Path(name)


def config(directory: Path) -> dict[str, Any]:
    return bootstrap(node_id="n", cluster="c", ads_socket=directory / "ads", admin_socket=directory / "admin")


def test_envoy_accepts_it(short_dir: Path) -> None:
    """The pinned Envoy validates the bootstrap and the command line, without a word of warning."""
    path = short_dir / "envoy.json"
    path.write_text(json.dumps(config(short_dir)))
    done = subprocess.run(
        [*command(find_binary(), path), "--mode", "validate"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


def test_nothing_listens_on_tcp(short_dir: Path) -> None:
    """Tenants' builds reach the machine's loopback: admin and control plane are unix sockets, admin for its owner."""
    text = json.dumps(config(short_dir))
    assert "socket_address" not in text
    assert config(short_dir)["admin"]["address"]["pipe"]["mode"] == 0o600


def test_a_long_socket_path_is_refused() -> None:
    """The kernel would cut it; the message says what to do."""
    long = Path("/tmp") / ("x" * 120)
    with pytest.raises(ValueError, match="shorter runtime directory"):
        bootstrap(node_id="n", cluster="c", ads_socket=long, admin_socket=Path("/tmp/a"))


def test_limits_are_in_the_overload_manager(short_dir: Path) -> None:
    """Memory and connections are bounded in the unit of the parameter."""
    it = bootstrap(
        node_id="n",
        cluster="c",
        ads_socket=short_dir / "a",
        admin_socket=short_dir / "b",
        max_heap_mib=3,
        max_connections=7,
    )
    heap, connections = (m["typed_config"] for m in it["overload_manager"]["resource_monitors"])
    assert heap["max_heap_size_bytes"] == 3 * 1024 * 1024
    assert connections["max_active_downstream_connections"] == 7
