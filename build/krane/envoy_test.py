import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from build.krane.envoy import prepare
from pkg.config import load
from svc.krane.config import KraneConfig
from tests.harness.wait import eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "krane.toml"
    path.write_text(
        f'region = "local"\nstate_dir = "{tmp_path}"\n'
        f'[api]\naddress = "127.0.0.1:1"\nkey_file = "{tmp_path}/key"\n'
        f'[ingress]\nads_socket = "{tmp_path}/ads.sock"\nadmin_socket = "{tmp_path}/envoy.sock"\n'
    )
    return path


def test_envoy_asks_the_krane_of_the_same_file(config: Path, tmp_path: Path) -> None:
    """Promise: one configuration for both containers, and a socket left behind is no obstacle."""
    (tmp_path / "envoy.sock").touch()
    arguments = prepare(load(config, KraneConfig))
    written = json.loads((tmp_path / "envoy.json").read_text())
    assert written["node"] == {"id": "local-envoy", "cluster": "local"}
    assert f"{tmp_path}/ads.sock" in json.dumps(written["static_resources"])
    assert arguments[arguments.index("--config-path") + 1] == f"{tmp_path}/envoy.json"
    assert not (tmp_path / "envoy.sock").exists()


@pytest.mark.parametrize(("broken", "status"), [("region", 2), ("envoy", 1)])
def test_what_is_wrong_is_reported(config: Path, broken: str, status: int) -> None:
    """Promise: a wrong configuration and a missing program have different exit statuses."""
    if broken == "region":
        config.write_text(config.read_text().replace("local", "no region"))
    run = subprocess.run(
        [sys.executable, "-m", "build.krane.envoy", "--config", config],
        cwd=ROOT,
        env={**os.environ, "SEALIFT_ENVOY": "/nowhere/envoy"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, broken in run.stderr) == (status, True)


def run_drain(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "build.krane.envoy", "--config", str(config), "--drain-s", "0.1"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_an_envoy_drains_before_it_is_stopped(config: Path, tmp_path: Path) -> None:
    """Promise: the hook before a stop has the real Envoy drain, which goes on meanwhile; without one it fails."""
    without = run_drain(config)
    assert (without.returncode, "envoy.sock" in without.stderr) == (1, True), without.stderr
    arguments = prepare(load(config, KraneConfig))
    with (tmp_path / "log").open("wb") as log:
        envoy = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        eventually((tmp_path / "envoy.sock").exists, within_s=30, what="Envoy's admin socket")
        eventually(lambda: run_drain(config).returncode == 0, within_s=30, what="Envoy drains")
        assert envoy.poll() is None
    finally:
        envoy.terminate()
        envoy.wait(30)
