"""The section that configures the registry to which builders push."""

import re
from pathlib import Path

from pkg.config import Secret, Strict
from pkg.images.ref import is_host

# host[:port][/path], lower case as repositories are
_URL = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")


class RegistryAddress(Strict):
    """The registry of built images. Each project has one repository in it, and each build one tag.

    Attributes:
        url: host, port and path below which the repositories are, without a scheme, e.g. "registry.example.com/apps".
    """

    url: str

    def problems(self) -> list[str]:
        """The URL is the start of an image's name."""
        if not _URL.fullmatch(self.url):
            return [f"url: expected host[:port][/path] in lower case and without a scheme, got {self.url!r}"]
        if not is_host(self.host):
            return [
                f"url: engines take {self.host!r} for a folder of Docker Hub, not for a host: write it with its domain"
                ' or its port, or "docker.io/" before it'
            ]
        return []

    @property
    def host(self) -> str:
        """Host and port, as builders and engines name a registry."""
        return self.url.partition("/")[0]


class RegistryConfig(RegistryAddress):
    """The registry of built images, for who pushes.

    Attributes:
        username: of the account that may push; "x-token" where the password is a token.
        password: of that account; only the worker needs it. A registry that asks for no login ignores it.
        ca_file: PEM; the registry's own certificate authority, which the worker trusts beside those of its machine.
            Engines and buildkitds, which push and pull, have settings of their own for it.
    """

    username: str = "x-token"
    password: Secret
    ca_file: Path | None = None

    def problems(self) -> list[str]:
        """The URL is one, and both parts of the account are there."""
        found = super().problems()
        if not self.username:
            found.append('username: is empty; leave it out for "x-token"')
        if not self.password.reveal():
            found.append("password: is empty")
        if self.ca_file is not None and not self.ca_file.is_absolute():
            found.append(f"ca_file: expected an absolute path, got {str(self.ca_file)!r}")
        return found
