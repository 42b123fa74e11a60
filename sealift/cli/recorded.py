"""What the server has recorded for a command: a deployment, or a build without one. Pure."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recorded:
    """A deployment or a build that goes on without the command.

    Attributes:
        noun: what it is.
        id: "dep_..." or "bld_...".
        build_id: of the build, "" without one.
    """

    noun: Literal["deployment", "build"]
    id: str
    build_id: str = ""

    @classmethod
    def deployment(cls, deployment_id: str, build_id: str = "") -> "Recorded":
        """A deployment, with its build if it has one."""
        return cls("deployment", deployment_id, build_id)

    @classmethod
    def build(cls, build_id: str) -> "Recorded":
        """A build without a deployment."""
        return cls("build", build_id, build_id)

    @property
    def wait_command(self) -> str:
        """The command that waits for its outcome."""
        return f"sealift {'status' if self.noun == 'deployment' else 'build show'} --wait {self.id}"

    @property
    def cancel_command(self) -> str:
        """The command that ends it."""
        return f"sealift cancel {self.id}"

    @property
    def ids(self) -> dict[str, str]:
        """Its id under the proto's name, for --json."""
        return {f"{self.noun}_id": self.id}
