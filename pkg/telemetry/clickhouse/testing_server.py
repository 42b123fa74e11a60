"""ClickHouse's HTTP interface in front of its real engine, for tests.

`python -P testing_server.py DATA USER PASSWORD [PORT [READONLY]]` serves; READONLY is the setting of that name.

The engine is chdb, which `dev/parts/clickhouse.sh` installs into an environment without the project's libraries. This
file therefore runs by its path, and imports only the standard library and the engine. It prints its port once it
listens on 127.0.0.1. Statements run one at a time; parsing, execution and errors are the engine's own. Not the
engine's: the check of the user, since an embedded engine has none, and the HTTP headers.

See https://clickhouse.com/docs/interfaces/http for the protocol.
"""

import base64
import hmac
import importlib
import re
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*$", re.IGNORECASE)
_INSERT = re.compile(r"\s*INSERT\s", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")
# parameters of the protocol; every other one is a setting
_PROTOCOL = {
    "query", "database", "default_format", "query_id", "session_id", "wait_end_of_query", "client_protocol_version",
    "enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
}  # fmt: skip
AUTHENTICATION_FAILED = 516


class EngineError(Exception):
    """The engine refused a statement; `str()` is its message, which begins with its code."""


class Engine:
    """One data directory, opened by this process alone."""

    def __init__(self, path: str) -> None:
        # by name: the engine is not among the project's libraries
        self._session = importlib.import_module("chdb.session").Session(path)
        self._running = threading.Lock()

    def run(self, database: str, settings: dict[str, str], values: dict[str, str], sql: str, form: str) -> bytes:
        """The result of one statement with these settings and server-side parameters, in a format."""
        with self._running:
            self._query(f"USE `{database or 'default'}`")
            for name, value in settings.items():
                self._query(f"SET {name} = '{value}'")
            try:
                return self._query(sql, form, values)
            finally:
                for name in settings:
                    self._query(f"SET {name} = DEFAULT")

    def _query(self, sql: str, form: str = "CSV", values: dict[str, str] | None = None) -> bytes:
        try:
            result: bytes = self._session.query(sql, form, **({"params": values} if values else {})).bytes()
        except Exception as error:
            raise EngineError(str(error)) from error
        return result


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    authorization: str

    def do_GET(self) -> None:
        """A statement in the address."""
        self._answer(b"")

    def do_POST(self) -> None:
        """A statement in the address or the body, or rows of an INSERT in the body."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return self._answer(body)

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/ping":
            return self._send(HTTPStatus.OK, b"Ok.\n", {})
        if not hmac.compare_digest(self.headers.get("Authorization", ""), self.authorization):
            text = f"Code: {AUTHENTICATION_FAILED}. DB::Exception: user: Authentication failed. (AUTHENTICATION_FAILED)"
            return self._fail(HTTPStatus.FORBIDDEN, text)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        values = {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}
        settings = {
            name: value for name, value in given.items() if name not in _PROTOCOL and not name.startswith("param_")
        }
        sql = given["query"] + "\n" + body.decode() if "query" in given else body.decode()
        form = self.headers.get("X-ClickHouse-Format") or given.get("default_format") or "TabSeparated"
        if not _INSERT.match(sql):
            sql = sql.strip().rstrip(";")
            if named := _FORMAT.search(sql):
                form, sql = named[1], sql[: named.start()]
        try:
            result = self.engine.run(given.get("database", ""), settings, values, sql, form)
        except EngineError as error:
            return self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        return self._send(HTTPStatus.OK, result, {"X-ClickHouse-Format": form})

    def _fail(self, status: HTTPStatus, text: str) -> None:
        code = _CODE.search(text)
        self._send(status, text.encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1"})

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"X-ClickHouse-Timezone": "UTC", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        with suppress(BrokenPipeError, ConnectionResetError):  # the client did not wait
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: standard output is for the port."""


def main(path: str, user: str, password: str, port: str = "0", readonly: str = "0") -> None:
    """Serves until it is killed."""
    Handler.engine = Engine(path)
    if readonly != "0":
        Handler.engine.run("", {}, {}, f"SET readonly = {int(readonly)}", "CSV")
    Handler.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
