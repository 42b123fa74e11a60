"""A whole stack under the real supervisor, in a temporary state directory and on free ports."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pkg.testing.ports import free_ports
from pkg.testing.wait import WAIT_S
from svc.standalone.process import Identity, is_alive, read_pidfile
from tests.harness import engine
from tests.harness.http import Answer, get, get_by_socket
from tests.harness.wait import eventually

ROOT = Path(__file__).parents[2]
PROCESSES = ("api", "worker", "krane", "restate", "envoy")
READY_WITHIN_S = 180
LOG_TAIL_LINES = 60


@dataclass(frozen=True)
class CliResult:
    """A finished command of the CLI."""

    code: int
    out: str
    err: str

    @property
    def last_json(self) -> dict[str, Any]:
        """The final object of --json."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found


class Stack:
    """A context manager: `up` on entry, `down` on exit; `state` is the state directory.

    Args:
        engine_socket: the Docker engine to use; "": a private one, which the stack starts and ends.
        toml: more lines for the supervisor's config.
        address_pool: range of the instances' addresses.
        ports: of some listeners by their key in [ports]; the others are free ones.
    """

    running: ClassVar[list["Stack"]] = []  # shown when a test fails

    def __init__(
        self, engine_socket: str, *, toml: str = "", address_pool: str = "", ports: Mapping[str, int] | None = None
    ) -> None:
        # unix socket paths are limited: pytest's temporary directories are too deep
        self.state = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
        self._is_private = not engine_socket
        self.engine_socket = engine_socket or f"{self.state}/engine/docker.sock"
        self._config = self.state.with_suffix(".toml")
        # chosen here, so that a restarted stack uses the same ports
        names = ("api", "http", "worker", "worker_metrics", "krane_metrics", "ingress", "ingress_tls")
        numbers = dict(zip(names, free_ports(len(names)), strict=True)) | dict(ports or {})
        chosen = "\n".join(f"{name} = {port}" for name, port in numbers.items())
        self._config.write_text(
            f'state_dir = "{self.state}"\n{toml}\n'
            f"[ports]\n{chosen}\n"
            f'[engine]\nprivate = "{"always" if self._is_private else "never"}"\n'
            + ("" if self._is_private else f'socket = "{engine_socket}"\naddress_pool = "{address_pool}"\n')
        )
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._clis: list[subprocess.Popen[str]] = []

    def up(self) -> "Stack":
        """Start the supervisor and wait until every process is healthy."""
        if self not in Stack.running:
            Stack.running.append(self)
        if self._supervisor is not None:
            self._supervisor.wait(10)  # killed by the test
        with (self.state.with_suffix(".log")).open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "svc.standalone", "up", "--config", str(self._config)],
                cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        eventually(self.is_ready, within_s=READY_WITHIN_S, what=f"the stack is ready; log: {self._tail()}")
        return self

    def __enter__(self) -> "Stack":
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(self, *_: object) -> None:
        self.down()

    def is_ready(self) -> bool:
        """Whether every process answers."""
        assert self._supervisor is not None
        if self._supervisor.poll() is not None:
            raise AssertionError(f"the supervisor ended with {self._supervisor.returncode}: {self._tail()}")
        return self.command("status", "--json").returncode == 0

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the supervisor, such as `status` or `down`."""
        return subprocess.run(
            [sys.executable, "-m", "svc.standalone", *words, "--config", str(self._config)],
            cwd=ROOT, capture_output=True, text=True, timeout=READY_WITHIN_S, check=False,
        )  # fmt: skip

    def start_command(self, *words: str) -> "subprocess.Popen[str]":
        """The same in the background; read its output with `finish`."""
        started = subprocess.Popen(
            [sys.executable, "-m", "svc.standalone", *words, "--config", str(self._config)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._clis.append(started)
        return started

    def down(self) -> None:
        """Stop everything, including commands of a failed test and app containers; remove images and state."""
        for cli in self._clis:
            cli.kill()
            cli.wait()
            for pipe in (cli.stdout, cli.stderr):
                if pipe is not None:
                    pipe.close()
        try:
            self.command("down", "--apps")
            if self._supervisor is not None:
                self._supervisor.wait(READY_WITHIN_S)
            if (self.state / "control.db").exists() and not self._is_private:
                engine.remove_images(self.engine_socket, f"sealift.image.installation={self.installation_id}")
        finally:
            if self in Stack.running:
                Stack.running.remove(self)
            self._config.unlink(missing_ok=True)
            self.state.with_suffix(".log").unlink(missing_ok=True)
            shutil.rmtree(self.state, ignore_errors=True)

    @property
    def endpoints(self) -> dict[str, Any]:
        """The addresses from the supervisor."""
        found: dict[str, Any] = json.loads((self.state / "run" / "stack.json").read_text())
        return found

    @property
    def ingress_port(self) -> int:
        """The address of the ingress."""
        return int(self.endpoints["ingress"].rsplit(":", 1)[1])

    def url(self, label: str) -> str:
        """The address of an app by its first label."""
        return f"http://{label}.{self.endpoints['apex_domain']}:{self.ingress_port}"

    def get(self, label: str) -> Answer:
        """The app's current response."""
        return get(self.url(label))

    @property
    def env(self) -> dict[str, str]:
        """The environment variables with which the CLI finds this stack."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SEALIFT_")}
        return clean | {
            "SEALIFT_URL": f"http://{self.endpoints['api']}",
            "SEALIFT_API_KEY_FILE": str(self.state / "secrets" / "admin.key"),
            "XDG_CACHE_HOME": str(self.state / "cli-cache"),
            "NO_COLOR": "1",
        }

    def start_cli(
        self,
        *words: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        is_env_whole: bool = False,
        stdin: str = "",
    ) -> "subprocess.Popen[str]":
        """The CLI in the background; read its output with `finish`.

        Args:
            words: of the command line.
            cwd: where it runs.
            env: environment variables beside those with which the CLI finds this stack.
            is_env_whole: without those.
            stdin: what it reads, at most what a pipe holds.
        """
        given = {} if is_env_whole else self.env
        started = subprocess.Popen(
            [sys.executable, "-m", "sealift.cli.main", *words],
            cwd=cwd or ROOT, env=given | {"PYTHONPATH": str(ROOT)} | (env or {}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            text=True, start_new_session=True,
        )  # fmt: skip
        if started.stdin:
            started.stdin.write(stdin)
            started.stdin.close()
            started.stdin = None
        self._clis.append(started)
        return started

    def sealift(
        self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout_s: float = 90
    ) -> CliResult:
        """Runs the CLI until it exits."""
        return finish(self.start_cli(*words, cwd=cwd, env=env), timeout_s=timeout_s)

    def deploy(self, directory: Path, project: str, *more: str, timeout_s: float = 90) -> CliResult:
        """`sealift deploy DIRECTORY --project PROJECT --json …`"""
        return self.sealift("deploy", str(directory), "--project", project, "--json", *more, timeout_s=timeout_s)

    def process(self, name: str) -> Identity:
        """The process by its name in the status table; waits while it restarts."""
        pidfile = self.state / "run" / f"{name}.pid"
        return eventually(lambda: read_pidfile(pidfile), what=f"{name} runs")

    def signal(self, name: str, number: signal.Signals) -> Identity:
        """Sends a signal to one process."""
        process = self.process(name)
        os.kill(process.pid, number)
        return process

    @contextlib.contextmanager
    def frozen(self, *processes: str) -> Iterator[None]:
        """Freeze processes (SIGSTOP), then resume them unless they were killed meanwhile."""
        held = [self.signal(process, signal.SIGSTOP) for process in processes]
        try:
            yield
        finally:
            for one in filter(is_alive, held):
                os.kill(one.pid, signal.SIGCONT)

    def kill(self, *processes: str) -> None:
        """kill -9, and wait until each has ended (not until it is restarted)."""
        killed = [self.signal(process, signal.SIGKILL) for process in processes]
        for process in killed:
            eventually(lambda v=process: not is_alive(v), what="a killed process has ended")  # type: ignore[misc]

    def containers(self, deployment_id: str = "") -> list[dict[str, Any]]:
        """App containers of this installation, running or not, as the engine lists them."""
        label = f"sealift.deployment={deployment_id}" if deployment_id else "sealift.deployment"
        return engine.containers(self.engine_socket, label, f"sealift.installation={self.installation_id}")

    @property
    def installation_id(self) -> str:
        """The value of this installation's labels."""
        import sqlite3

        with sqlite3.connect(f"file:{self.state}/control.db?mode=ro", uri=True) as connection:
            return str(connection.execute("SELECT installation_id FROM installation").fetchone()[0])

    def served_hosts(self) -> set[str]:
        """The hostnames of Envoy's routes, but for the api's, from its admin interface."""
        found = get_by_socket(self.state / "run" / "envoy.sock", "/config_dump?resource=dynamic_route_configs")
        tables = [one["route_config"].get("virtual_hosts", []) for one in json.loads(found.body).get("configs", [])]
        return {host["name"] for table in tables for host in table} - {self.endpoints["apex_domain"]}

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Query the control database."""
        import sqlite3

        with sqlite3.connect(f"file:{self.state}/control.db?mode=ro", uri=True, timeout=WAIT_S) as connection:
            return list(connection.execute(statement, values))

    def change(self, statement: str, *values: object) -> None:
        """Change rows of the control database, for what only time would do."""
        import sqlite3

        with contextlib.closing(sqlite3.connect(self.state / "control.db", timeout=WAIT_S)) as connection, connection:
            connection.execute(statement, values)

    def status_of(self, deployment_id: str) -> str:
        """The deployment's status now."""
        return str(self.rows("SELECT status FROM deployments WHERE id = ?", deployment_id)[0][0])

    def log_tails(self) -> list[tuple[str, str]]:
        """The last lines of every process's log, by title: for the report of a failed test."""
        paths = [self.state.with_suffix(".log"), *sorted((self.state / "logs").glob("*.log"))]
        return [
            (
                f"{self.state.name}: {path.stem}, last {LOG_TAIL_LINES} lines",
                "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]),
            )
            for path in paths
            if path.exists()
        ]

    def _tail(self) -> str:
        log = self.state.with_suffix(".log")
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""


def finish(process: "subprocess.Popen[str]", *, timeout_s: float = 90) -> CliResult:
    """Wait for a command of `start_cli` or `start_command`. On timeout it is killed, and the test fails."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the CLI did not end within {timeout_s:g} s\n{out}\n{err}") from None
    return CliResult(process.returncode, out, err)
