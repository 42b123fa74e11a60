"""The stack as containers: dev/compose.yaml, which `make bazel4` runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from svc.standalone.__main__ import main
from svc.standalone.statedir import StateDir
from tests.packaging.repository import ROOT, SERVICES

NAMES = {service.replace("_", "-"): service for service in SERVICES}
TEXT = (ROOT / "dev/compose.yaml").read_text(encoding="utf-8")
PARTS: dict[str, dict[str, Any]] = YAML(typ="safe").load(TEXT)["services"]
ENGINE_USERS = {"worker", "krane"}


def test_it_runs_every_part() -> None:
    """Promise: each service and the two programs beside them, from the images that `make oci-load` loads."""
    assert set(PARTS) == {*NAMES, "restate", "envoy"}
    for name in [*NAMES, "restate"]:
        assert PARTS[name]["image"] == f"sealift/{name}:dev"
    assert PARTS["envoy"]["image"] == PARTS["krane"]["image"]


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_may_do_little(part: str) -> None:
    """Promise: no rights, nothing writable but the state, and only who needs the engine may reach it."""
    given = PARTS[part]
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert any("SEALIFT_ENGINE_SOCKET" in volume for volume in given["volumes"]) == (part in ENGINE_USERS)
    assert ("group_add" in given) == (part in ENGINE_USERS)


def test_every_variable_is_written() -> None:
    """Promise: `make compose` leaves nothing to be set by hand."""
    read = set(re.findall(r"\$\{(\w+)[:}]", TEXT))
    written = set(re.findall(r"^(SEALIFT_\w+)=", (ROOT / "dev/compose.sh").read_text(), re.MULTILINE))
    assert read == written


def test_configure_writes_what_the_containers_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: each --config of the compose file lies in the state directory; again changes no key."""
    state = StateDir(tmp_path / "s")
    assert main(["configure", "--state-dir", str(state.root)]) == 0
    assert json.loads(capsys.readouterr().out)["state_dir"] == str(state.root)
    keys = {path.name: path.read_bytes() for path in state.secrets.iterdir()}
    assert "admin.key" in keys
    for given in PARTS.values():
        config = Path(given["command"][-1].replace("${SEALIFT_STATE_DIR}", str(state.root)))
        assert config.is_file(), config
    assert main(["configure", "--state-dir", str(state.root)]) == 0
    assert {path.name: path.read_bytes() for path in state.secrets.iterdir()} == keys
