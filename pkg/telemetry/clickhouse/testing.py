"""A ClickHouse server for tests, which `dev/parts/clickhouse.sh` prepares."""

import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkg.config import Secret
from pkg.telemetry.clickhouse.connection import ServerAccess
from pkg.testing.parts import prepared_part

USER, PASSWORD = "sealift", "s3cret-of-clickhouse"
STARTS_WITHIN_S = 90


class ClickHouseServer:
    """One server process and its data directory.

    Args:
        data: its data directory; kept over a restart.
        password: of its user.
        readonly: the setting of that name for its user.

    Attributes:
        port: on 127.0.0.1; the same after a restart.
    """

    def __init__(self, data: Path, *, password: str = PASSWORD, readonly: int = 0) -> None:
        self._python = prepared_part("clickhouse") / "env" / "bin" / "python"
        self._data = data
        self._password = password
        self._readonly = readonly
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it listens.

        Raises:
            RuntimeError: it ended, or does not listen in time.
        """
        script = Path(__file__).with_name("testing_server.py")
        # -P: the folder of this script must not hide modules of the standard library
        words = [str(self._python), "-P", str(script), str(self._data), USER, self._password, str(self.port)]
        words.append(str(self._readonly))
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], STARTS_WITHIN_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            raise RuntimeError(f"the ClickHouse engine in {self._data} does not start; its error is above")
        self.port = int(line)

    def kill(self) -> None:
        """Ends it at once, as a crash does. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def access(self, database: str, *, password: str = "", retention_days: int = 30) -> ServerAccess:
        """What opens a store in a database of it."""
        return ServerAccess(self.url, database, USER, Secret(password or self._password), retention_days)
