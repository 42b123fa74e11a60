"""The section that configures builds by a Docker engine."""

from pathlib import Path
from typing import Literal

from pkg.builders.docker.backend import DockerBuilder
from pkg.builders.port import BuilderConfig
from pkg.registry import RegistryConfig


class DockerConfig(BuilderConfig):
    """Builds.

    Attributes:
        backend: what builds; "docker": the engine's own BuildKit.
        engine_socket: of the Docker engine.
        cgroup: control group of this machine that bounds all builds, to see when they ran out of memory; "" if none.
    """

    backend: Literal["docker"] = "docker"
    engine_socket: Path = Path("/var/run/docker.sock")
    cgroup: str = ""

    def open(self, registry: RegistryConfig | None = None) -> DockerBuilder:
        """See `BuilderConfig.open`."""
        return DockerBuilder(self.engine_socket, cgroup=self.cgroup, registry=registry)
