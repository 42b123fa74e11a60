"""Steady load on one app from a thread, limited in rate and time; responses are counted by kind."""

import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

MAX_S = 300.0
ANSWER_WITHIN_S = 30.0


class Load:
    """Requests to `url` at about `rate_per_s`, half of them on persistent connections. Use as a context manager.

    They go to this machine's loopback, or to `at`, another host and port that serves the same name.

    Attributes:
        bodies: answers with status 200, by body.
        failures: everything else, as text.
        took_s: the time of each answer with status 200.
    """

    def __init__(
        self,
        url: str,
        rate_per_s: float = 200,
        threads: int = 4,
        max_s: float = MAX_S,
        at: tuple[str, int] | None = None,
    ) -> None:
        self._host = urlsplit(url).netloc
        self._address = at or ("127.0.0.1", urlsplit(url).port or 80)
        self._max_s = max_s
        self._interval_s = threads / rate_per_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 0,)) for n in range(threads)]
        self.bodies: Counter[str] = Counter()
        self.failures: list[str] = []
        self.took_s: list[float] = []

    def __enter__(self) -> "Load":
        self._deadline = time.monotonic() + self._max_s
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        """The number of completed or failed requests."""
        return self.bodies.total() + len(self.failures)

    def slowest_s(self, share: float) -> float:
        """The time within which so many of the answers came, e.g. 0.99."""
        return sorted(self.took_s)[int(len(self.took_s) * share)]

    def _run(self, keep_alive: bool) -> None:
        connection = self._connect()
        while not self._stop.wait(self._interval_s) and time.monotonic() < self._deadline:
            began = time.monotonic()
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                response = connection.getresponse()
                body = response.read().decode(errors="replace").strip()
                self._note(response.status, body, time.monotonic() - began)
            except (OSError, http.client.HTTPException) as error:
                self._note(0, repr(error))
                connection.close()
                connection = self._connect()
                continue
            if not keep_alive:
                connection.close()
                connection = self._connect()
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._address, timeout=ANSWER_WITHIN_S)

    def _note(self, status: int, body: str, took_s: float = 0.0) -> None:
        with self._lock:
            if status == 200:
                self.took_s.append(took_s)
                self.bodies[body] += 1
            else:
                self.failures.append(f"{status} {body[:200]}")
