"""Sections about the images that instances are made of: logins for pulls, and images that are on an engine only."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pkg.config import Secret, Strict
from pkg.images.ref import ImageRef, canonical_host, familiar_name

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_PATTERN = re.compile(r"[A-Za-z0-9_.:/*-]+")


class RegistryLogin(Strict):
    """A login with which an engine pulls from one registry.

    Attributes:
        host: host[:port] as in the names of images, e.g. "registry.example.com"; "docker.io" is Docker Hub.
        username: of an account that may only pull; "x-token" where the password is a token.
        password: of that account. It is sent to this host alone.
    """

    host: str
    username: str = "x-token"
    password: Secret

    def problems(self) -> list[str]:
        """The host is one, and both parts of the login are there."""
        found = []
        if not _HOST.fullmatch(self.host):
            found.append(f"host: expected host[:port] without a scheme or a path, got {self.host!r}")
        if not self.username:
            found.append('username: is empty; leave it out for "x-token"')
        if not self.password.reveal():
            found.append("password: is empty")
        return found

    def secrets(self) -> list[bytes]:
        """What must be shown nowhere: the password, alone and with the account."""
        password = self.password.reveal()
        return [password.encode(), f"{self.username}:{password}".encode()]

    @property
    def canonical_host(self) -> str:
        """The host in one spelling."""
        return canonical_host(self.host)


def login_problems(key: str, logins: Sequence[RegistryLogin]) -> list[str]:
    """For `problems()` hooks: a registry has one login."""
    hosts = [login.canonical_host for login in logins]
    return [f"{key}: {host} has more than one login" for host in sorted({one for one in hosts if hosts.count(one) > 1})]


def login_for(logins: Sequence[RegistryLogin], image: ImageRef) -> RegistryLogin | None:
    """The login of exactly that image's registry; None: it is pulled without one."""
    host = canonical_host(image.registry)
    return next((login for login in logins if host and login.canonical_host == host), None)


class Images(Strict):
    """Images that any project may run although no registry is asked for them.

    Attributes:
        allow_local: names of images that the operator keeps on the engine, e.g. "tools/base:1" or "tools/*"; `*` stands
            for any characters, and a name without a tag for all its tags. Others are pulled before they run, and
            images that other projects built are refused.
    """

    allow_local: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """Each is a name, and does not allow everything."""
        found = []
        for number, pattern in enumerate(self.allow_local):
            if not _PATTERN.fullmatch(pattern):
                found.append(f"allow_local[{number}]: expected an image's name, with * as a wildcard, got {pattern!r}")
            elif not pattern.strip("*/:"):
                found.append(
                    f"allow_local[{number}]: {pattern!r} allows every image of the engine; name those you mean"
                )
        return found

    def allows(self, image: ImageRef) -> bool:
        """Whether the engine's own copy of the image may run. A digest is never allowed by a name."""
        if image.is_on_engine or image.digest:
            return False
        name = familiar_name(image)
        names = (name, f"{name}:{image.tag or 'latest'}")
        return any(fnmatchcase(one, familiar_pattern) for familiar_pattern in self.allow_local for one in names)
