"""The object store of `testing.FakeServer`: PUT over real HTTP, objects in memory."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class FakeStore:
    """Accepts PUTs.

    Attributes:
        objects: path -> content.
        answers: statuses of the next PUTs; when empty, 200 after a check of the sha256 in the path.
        headers: of the last PUT.
        refuse_early: answer before the body is read, and close.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.refuse_early = False
        self.puts = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, once started."""
        assert self._server
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Listen on a free port of loopback."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                store.accept(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-store")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; waits until it has."""
        if self._server and self._thread:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)

    def accept(self, request: BaseHTTPRequestHandler) -> None:
        """One PUT."""
        self.puts += 1
        self.headers = dict(request.headers)
        status = self.answers.pop(0) if self.answers else 200
        if self.refuse_early:
            request.close_connection = True
            self._answer(request, status, b"refused")
            return
        body = request.rfile.read(int(request.headers["Content-Length"]))
        path = urlsplit(request.path).path.removeprefix("/objects/")
        if status == 200 and hashlib.sha256(body).hexdigest() not in path:
            status = 400
        if status == 200:
            self.objects[path] = body
        self._answer(request, status, b"" if status == 200 else b"made to fail")

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, text: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)
