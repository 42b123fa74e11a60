"""The token server of a registry, for tests. It grants each account its actions and nobody else anything.

Contract: https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import json
import threading
import time
import urllib.parse
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pkg.registry.auth import Credentials
from pkg.testing.certificates import Authority

ISSUER = "sealift-test"
SERVICE = "test-registry"
LIFETIME_S = 300


class TokenServer:
    """Serves from `start` to `stop` on a loopback port, which it has from the beginning.

    Attributes:
        url: the realm of the registry.
        scopes: what was asked for so far, with who asked ("" without a login): pairs of account and scope.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._grants: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._accounts: dict[str, Credentials] = {}
        self.scopes: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread: threading.Thread | None = None

    def grant(self, account: Credentials, actions: tuple[str, ...]) -> None:
        """What the account may do from now on; its actions of before are forgotten."""
        self._accounts[account.username] = account
        self._grants[account.basic()] = (account.username, actions)

    def start(self) -> None:
        """Idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="token-server")
            self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def _token(self, scopes: list[str], authorization: str) -> tuple[int, dict[str, object]]:
        who, actions = self._grants.get(authorization, ("", ()))
        if authorization and not who:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}
        access = []
        for scope in " ".join(scopes).split():
            self.scopes.append((who, scope))
            kind, _, rest = scope.partition(":")
            name, _, asked = rest.rpartition(":")  # a name may hold a port
            access.append({"type": kind, "name": name, "actions": [one for one in asked.split(",") if one in actions]})
        token = self._signed(
            {
                "iss": ISSUER,
                "sub": who,
                "aud": SERVICE,
                "jti": uuid.uuid4().hex,
                "access": access,
                "iat": int(time.time()),
                "nbf": int(time.time()) - 5,
                "exp": int(time.time()) + LIFETIME_S,
            }
        )
        return 200, {"token": token, "access_token": token, "expires_in": LIFETIME_S}

    def _signed(self, claims: Mapping[str, object]) -> str:
        certificate = self._authority.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(certificate).decode()]}
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._authority.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                """The form with basic authentication."""
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                self._answer(query.get("scope", []), self.headers.get("Authorization", ""))

            def do_POST(self) -> None:
                """The form of OAuth 2 with a password, which engines try first."""
                length = int(self.headers.get("Content-Length", "0"))
                form = urllib.parse.parse_qs(self.rfile.read(length).decode())
                given = (form.get("username", [""])[0], form.get("password", form.get("refresh_token", [""]))[0])
                found = (one for one in server._accounts.values() if (one.username, one.password.reveal()) == given)
                account = next(found, None)
                self._answer(form.get("scope", []), account.basic() if account else "Basic unknown")

            def _answer(self, scopes: list[str], authorization: str) -> None:
                status, content = server._token(scopes, authorization)
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
