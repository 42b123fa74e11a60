"""How a registry wants to be asked: what its challenge says, and the tokens of those that have a token server.

Contract: https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import re
import time
from dataclasses import dataclass, field

from pkg.config import Secret

# Tokens without a time live for this long, by the contract.
DEFAULT_TOKEN_S = 60
# A token is not used in its last seconds: it would end on its way.
TOKEN_MARGIN_S = 10
MAX_TOKEN_S = 24 * 3600
MAX_TOKENS = 256

# A parameter of a challenge, or the scheme that begins one. Quoted text may hold commas.
_PART = re.compile(r'([\w-]++)(?:\s*+=\s*+(?:"([^"]*)"|([^\s,"]++)))?+')
_SCHEMES = ("bearer", "basic")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account of a registry. Its text does not show the password."""

    username: str
    password: Secret

    def basic(self) -> str:
        """The header Authorization of basic authentication."""
        pair = f"{self.username}:{self.password.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def secrets(self) -> list[bytes]:
        """What must be shown nowhere: the password, alone and with the account."""
        password = self.password.reveal()
        return [password.encode(), f"{self.username}:{password}".encode()]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the header WWW-Authenticate asks for.

    Attributes:
        scheme: "bearer" or "basic", or another one in lower case.
        realm: of "bearer", the token server's URL.
        service: of "bearer", the registry's name there.
        error: of "bearer", why a token was not enough, e.g. "insufficient_scope"; mostly "".
    """

    scheme: str
    realm: str = ""
    service: str = ""
    error: str = ""

    @classmethod
    def parse(cls, header: str) -> "Challenge":
        """Reads the header; nothing in it is required.

        Of several challenges, which a server may send in one header or in some, the first that is known counts.
        """
        challenges: list[tuple[str, dict[str, str]]] = []
        for part in _PART.finditer(header):
            if part[2] is None and part[3] is None:
                challenges.append((part[1].lower(), {}))
            elif challenges:
                challenges[-1][1].setdefault(part[1].lower(), part[2] or part[3] or "")
        if not challenges:
            return cls("")
        scheme, given = next((one for one in challenges if one[0] in _SCHEMES), challenges[0])
        return cls(scheme, given.get("realm", ""), given.get("service", ""), given.get("error", ""))


def lifetime_s(given: object) -> float:
    """Seconds for which a token is valid, from `expires_in` of a token server's answer; a day at most."""
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_TOKEN_S
    return min(seconds, MAX_TOKEN_S) if seconds > 0 else DEFAULT_TOKEN_S


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token of a token server, and for how many seconds it is valid."""

    value: str = field(repr=False)
    lifetime_s: float


@dataclass(slots=True)
class TokenCache:
    """Tokens by scope until shortly before their end, 256 at most."""

    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def get(self, scope: str) -> str:
        """The token, or "" if there is none that still lives."""
        token, until = self._tokens.get(scope, ("", 0.0))
        return token if time.monotonic() < until else ""

    def put(self, scope: str, token: str, lifetime_s: float) -> None:
        """Keeps the token for its lifetime, less a margin."""
        while len(self._tokens) >= MAX_TOKENS:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[scope] = (token, time.monotonic() + lifetime_s - TOKEN_MARGIN_S)

    def drop(self, scope: str) -> None:
        """Forgets the token: the registry did not accept it."""
        self._tokens.pop(scope, None)
