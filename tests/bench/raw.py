"""The baseline of a deploy: docker build and run, with the fastest docker command of this machine."""

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from pkg.testing.ports import free_port
from tests.bench.polling import until_answers

LABEL = "sealift.bench"
_BUILDKIT = {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
_CLASSIC = {"DOCKER_BUILDKIT": "0"}
_PROBE = "FROM scratch\nCOPY Dockerfile /\n"


class RawDocker:
    """Measures `docker build`, `docker run` and the first response. `close` removes what it created.

    Attributes:
        way: which builder it uses, for the report.
    """

    def __init__(self, engine_socket: str, scratch: Path) -> None:
        self._run_id = uuid.uuid4().hex[:12]
        self._host = f"unix://{engine_socket}"
        self._program, self._env, self.way = self._choose(scratch)
        self._containers: dict[str, str] = {}

    def deploy(self, directory: Path, body: str, build_args: dict[str, str]) -> tuple[float, float]:
        """Milliseconds of `docker build`, and until the first response `body`.

        The replaced container is removed first, not measured.
        """
        image = f"sealift-bench/{self._run_id}:{directory.name}"
        if old := self._containers.pop(directory.name, None):
            self._docker("rm", "-f", "-v", old)
        port = free_port()
        began = time.monotonic()
        self._docker("build", "-q", "-t", image, *self._labels(), *_arguments(build_args), str(directory))
        built = time.monotonic()
        container = self._docker("run", "-d", *self._labels(), "-p", f"127.0.0.1:{port}:8080", image)
        self._containers[directory.name] = container
        until_answers("127.0.0.1", port, "localhost", body)
        return (built - began) * 1000, (time.monotonic() - began) * 1000

    def close(self) -> None:
        """Remove its containers and images only."""
        mine = f"label={LABEL}={self._run_id}"
        if containers := self._docker("ps", "-aq", "--filter", mine).split():
            self._docker("rm", "-f", "-v", *containers)
        if images := sorted(set(self._docker("images", "-q", "--filter", mine).split())):
            self._docker("rmi", "-f", *images)

    def _choose(self, scratch: Path) -> tuple[str, dict[str, str], str]:
        """A docker command that builds with BuildKit (directly or with buildx), else the classic builder."""
        probe = scratch / "probe"
        probe.mkdir()
        (probe / "Dockerfile").write_text(_PROBE)
        programs = [found for place in os.get_exec_path() if (found := shutil.which("docker", path=place))]
        if not programs:
            raise SystemExit("bench: there is no docker command to compare with: install docker.io")
        for env, way in ((_BUILDKIT, "BuildKit"), (_CLASSIC, "the classic builder")):
            for program in dict.fromkeys(programs):
                version = subprocess.run(
                    [program, "--version"], capture_output=True, text=True, check=False, timeout=20
                )
                done = subprocess.run(
                    [program, "-H", self._host, "build", "-q", *self._labels(), str(probe)],
                    env=os.environ | env, capture_output=True, check=False, timeout=120,
                )  # fmt: skip
                if done.returncode == 0:
                    return program, env, f"{version.stdout.strip()}, {way}"
        raise SystemExit("bench: no docker command of this machine builds an image")

    def _labels(self) -> list[str]:
        return ["--label", f"{LABEL}={self._run_id}"]

    def _docker(self, *words: str) -> str:
        done = subprocess.run(
            [self._program, "-H", self._host, *words],
            env=os.environ | self._env, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.strip()[-1000:]}")
        return done.stdout.strip()


def _arguments(build_args: dict[str, str]) -> list[str]:
    return [word for name, value in build_args.items() for word in ("--build-arg", f"{name}={value}")]
