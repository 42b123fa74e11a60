"""The commands for a cluster by hand."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_up_kubectl_down(tmp_path: Path) -> None:
    """Promise: one cluster at a time; it outlives the command that started it, and `down` leaves nothing."""

    def command(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pkg.testing.kubernetes", *words], capture_output=True, text=True, check=False,
            cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert command("down") == (1, "no cluster is up; `up` starts one\n")
    try:
        code, said = command("up", "--fake")
        assert code == 0, said
        kubeconfig = Path(said.removeprefix("export KUBECONFIG=").strip())
        assert kubeconfig.exists()
        assert command("up", "--fake") == (1, "a cluster is up already; `down` ends it\n")
        assert "Ready" in command("kubectl", "get", "nodes")[1]
        assert command("load")[0] == 1
    finally:
        code, said = command("down")
    assert code == 0, said
    assert not kubeconfig.exists()
    assert command("sideways")[0] == 1
