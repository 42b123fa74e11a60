"""Polls an app until it returns the expected response."""

import http.client
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

WITHIN_S = 60.0
INTERVAL_S = 0.002


def until_answers(address: str, port: int, host: str, body: str) -> None:
    """Return after the first response with this body. Each try opens a new connection."""
    pause = threading.Event()
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, port, timeout=1)
        try:
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            if answer.status == 200 and answer.read().decode().strip() == body:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        pause.wait(INTERVAL_S)
    raise RuntimeError(f"{host} did not answer {body!r} within {WITHIN_S:g} s")


class Watcher:
    """Requests a URL every 2 ms on a persistent connection, in a thread, and records when the response changes.

    Use as a context manager.

    Attributes:
        changes: (epoch ms at which the answer was there, body) of each answer that differs from the one before.
        failures: answers other than 200, and lost connections.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.netloc, parts.port or 80
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="watcher")
        self.changes: list[tuple[float, str]] = []
        self.failures: list[str] = []

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, body: str, *, since: int = 0, within_s: float = WITHIN_S) -> float:
        """Epoch ms of the first change to `body`, from change number `since` on."""
        with self._news:
            self._news.wait_for(lambda: self._find(body, since) is not None, within_s)
        found = self._find(body, since)
        if found is None:
            raise RuntimeError(
                f"{self._host} did not answer {body!r} within {within_s:g} s; saw {self.changes[since:]}"
            )
        return found

    def _find(self, body: str, since: int) -> float | None:
        return next((at for at, seen in self.changes[since:] if seen == body), None)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        last = ""
        while not self._stop.wait(INTERVAL_S):
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                answer = connection.getresponse()
                body = answer.read().decode(errors="replace").strip()
                now = time.time() * 1000
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            if answer.status != 200:
                self.failures.append(f"{answer.status} {body[:100]}")
            elif body != last:
                last = body
                with self._news:
                    self.changes.append((now, body))
                    self._news.notify_all()
        connection.close()
