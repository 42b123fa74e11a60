"""A user of a stack who reaches it by the api's hostname alone, with HTTPS and a login, as from another machine."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness.stack import CliResult, Stack, finish
from tests.harness.tls import ask
from tests.harness.wait import eventually

HOSTNAME = "sealift.localhost"


@dataclass(frozen=True)
class RemoteUser:
    """Has a home of its own, and nothing of the stack but URL, key and the certificate of its authority.

    Attributes:
        home: the user's.
        url: of the stack, as this user reaches it.
        ca_file: the certificate of the stack's authority.
        key: the access key.
    """

    stack: Stack
    home: Path
    url: str
    ca_file: Path
    key: str

    @classmethod
    def of(cls, stack: Stack, home: Path) -> "RemoteUser":
        """A user who is not logged in yet."""
        address = str(stack.endpoints["ingress_tls"])
        home.mkdir()
        ca_file = home / "ca.pem"
        ca_file.write_text(eventually(lambda: stack.sealift("trust", "--pem").out, what="an authority"))
        authority = ca_file.read_text()
        eventually(lambda: ask(address, HOSTNAME, authority=authority)[0], what="HTTPS at the api's hostname")
        key = (stack.state / "secrets" / "admin.key").read_text().strip()
        return cls(stack, home, f"https://{HOSTNAME}:{address.rpartition(':')[2]}", ca_file, key)

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of the CLI: none that names a server or a key."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SEALIFT_", "XDG_"))}
        return clean | {"HOME": str(self.home), "NO_COLOR": "1"}

    def login(self) -> CliResult:
        """`sealift login` with the authority's certificate, and the key on stdin."""
        return self.sealift("login", self.url, "--ca-file", str(self.ca_file), stdin=self.key)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """The CLI in the background."""
        return self.stack.start_cli(*words, env=self.env, is_env_whole=True)

    def sealift(self, *words: str, stdin: str = "", timeout_s: float = 90) -> CliResult:
        """Runs the CLI until it exits."""
        return finish(self.stack.start_cli(*words, env=self.env, is_env_whole=True, stdin=stdin), timeout_s=timeout_s)
