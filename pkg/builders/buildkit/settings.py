"""The keys of builds by a buildkitd."""

from pathlib import Path
from typing import Literal

from pkg.builders.settings import BuilderSections, PushingSettings
from pkg.config.sections import address_problems

UNIX = "unix://"
TCP = "tcp://"


class BuildkitSettings(PushingSettings):
    """Builds by a buildkitd.

    Attributes:
        backend: "buildkit": a buildkitd of your own, which pushes to `[registry]`.
        address: "unix:///path/to/buildkitd.sock" or "tcp://host:port"; the latter with mutual TLS only.
        server_name: name in the daemon's certificate; "": the host of `address`.
        ca_file: PEM; the authority of the daemon's certificate.
        cert_file: PEM; the worker's certificate.
        key_file: PEM; its key.
    """

    backend: Literal["buildkit"] = "buildkit"
    address: str
    server_name: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def problems(self) -> list[str]:
        """The address is one of two kinds, with the keys that belong to it."""
        wrong = super().problems()
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        if self.address.startswith(UNIX):
            if not Path(self.address.removeprefix(UNIX)).is_absolute():
                wrong.append(f"address: expected unix:// and an absolute path, got {self.address!r}")
            set_keys = [name for name, value in {**files, "server_name": self.server_name}.items() if value]
            wrong += [f"{name}: a unix socket has no TLS; leave it out, or use tcp://host:port" for name in set_keys]
        elif self.address.startswith(TCP):
            wrong += address_problems("address", self.address.removeprefix(TCP))
            needs = "tcp:// needs mutual TLS, since who reaches a buildkitd can run anything there"
            wrong += [f"{name}: missing; {needs}" for name, value in files.items() if value is None]
        else:
            wrong.append(f"address: expected unix:///path or tcp://host:port, got {self.address!r}")
        return wrong

    @property
    def is_elsewhere(self) -> bool:
        """See `BuilderSettings.is_elsewhere`: no, the worker sends the build context."""
        return False

    def problems_beside(self, sections: BuilderSections) -> list[str]:
        """See `BuilderSettings.problems_beside`."""
        if sections.registry is not None:
            return []
        return ['registry: [build] backend = "buildkit" pushes every image: set url, username and password']
