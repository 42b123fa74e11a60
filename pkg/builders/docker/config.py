"""The section that configures builds by a Docker engine."""

from pathlib import Path
from typing import Literal

from pkg.builders.docker.backend import DockerBuilder
from pkg.builders.docker.free_space import FreeSpace
from pkg.builders.port import BuilderConfig
from pkg.registry import RegistryConfig


class DockerConfig(BuilderConfig):
    """Builds.

    Attributes:
        backend: what builds; "docker": the engine's own BuildKit.
        engine_socket: of the Docker engine.
        cgroup: control group of this machine that bounds all builds, to see when they ran out of memory; "" if none.
        disk: folder on the engine's disk; a build that copies or fetches while it is nearly full is ended; "": none.
        min_free_mib: what builds leave free there; 0 means a twentieth of the disk, at most 5 GiB.
        hang_report: file in which a BuildKit that hangs is reported to a supervisor that restarts it; "" if none does.
        ended_steps: file in which a supervisor writes which steps it ended at a bound; "" if none does.
    """

    backend: Literal["docker"] = "docker"
    engine_socket: Path = Path("/var/run/docker.sock")
    cgroup: str = ""
    disk: str = ""
    min_free_mib: int = 0
    hang_report: str = ""
    ended_steps: str = ""

    @property
    def needs_no_etag(self) -> bool:
        """See `BuilderConfig.needs_no_etag`: an engine does not tell which BuildKit is in it."""
        return True

    def open(self, registry: RegistryConfig | None = None) -> DockerBuilder:
        """See `BuilderConfig.open`."""
        return DockerBuilder(
            self.engine_socket,
            cgroup=self.cgroup,
            registry=registry,
            free_space=FreeSpace(Path(self.disk) if self.disk else None, self.min_free_mib),
            hang_report=Path(self.hang_report) if self.hang_report else None,
            ended_steps=Path(self.ended_steps) if self.ended_steps else None,
        )
