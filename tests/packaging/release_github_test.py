"""Starting workflows and making releases, against a GitHub that speaks HTTP."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dev.releasing.errors import ReleaseError
from dev.releasing.github import GitHub

TITLE = "krane/v1.4.0 for 7-1"
INPUTS = {"digest": "sha256:1", "request": "7-1"}


@dataclass
class State:
    """What the stand-in holds, and the requests to it.

    Attributes:
        statuses: of the run, one for each time it is looked for; the last stays. None: not listed yet.
        refuse: prefix of "METHOD path" that gets 403.
    """

    port: int = 0
    statuses: list[tuple[str, str | None] | None] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    refuse: str = "nothing"

    def calls(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.requests]


class Handler(BaseHTTPRequestHandler):
    def _handle(self) -> None:
        state: State = self.server.state  # type: ignore[attr-defined]
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_json = self.headers.get("Content-Type") == "application/json"
        body = json.loads(raw) if raw and is_json else raw.decode() or None
        path = self.path.removeprefix("/repos/sealift/sealift")
        state.requests.append((self.command, path, body))
        if self.headers.get("Authorization") != "Bearer token" or f"{self.command} {path}".startswith(state.refuse):
            return self._answer(403, {"message": "Resource not accessible by integration"})
        return self._answer(*self._do(state, path, body))

    def _do(self, state: State, path: str, body: Any) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{state.port}"
        if path.endswith("/dispatches"):
            return 204, None
        if "/runs?" in path:
            now = state.statuses.pop(0) if len(state.statuses) > 1 else state.statuses[0]
            other: dict[str, str | None] = {
                "display_title": "krane/v1.4.0 for 6-1",
                "status": "completed",
                "conclusion": "success",
                "html_url": "no",
            }
            runs = [other]
            if now:
                runs.append({"display_title": TITLE, "status": now[0], "conclusion": now[1], "html_url": "run"})
            return 200, {"workflow_runs": runs}
        if self.command == "GET":
            return 200, state.releases
        if self.command == "DELETE":
            return 204, None
        if self.command == "PATCH":
            return 200, {"html_url": "release"}
        if path.startswith("/upload"):
            return 201, {}
        return 201, {"id": 5, "upload_url": f"{url}/upload{{?name,label}}", "html_url": "draft"}

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - names of http.server

    def _answer(self, code: int, value: Any) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def state() -> Iterator[State]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = server.state = State(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join(10)


class Clock:
    """Time that passes only when someone sleeps."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self) -> float:
        return self.now


def github(state: State, token: str = "token") -> GitHub:
    clock = Clock()
    return GitHub("sealift/sealift", token, f"http://127.0.0.1:{state.port}", clock.sleep, clock.read)


def start(state: State) -> str:
    return github(state).run_workflow("sign-image.yaml", "krane/v1.4.0", INPUTS, TITLE, 600)


def test_waits_for_its_own_run(state: State) -> None:
    """Promise: started at the tag, and the success of another run is not taken for this one's."""
    state.statuses = [None, ("queued", None), ("in_progress", None), ("completed", "success")]
    assert start(state) == "run"
    assert state.requests[0] == (
        "POST", "/actions/workflows/sign-image.yaml/dispatches", {"ref": "refs/tags/krane/v1.4.0", "inputs": INPUTS}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([("completed", "failure")], "ended with failure: run"),
        ([("completed", "cancelled")], "ended with cancelled: run"),
        ([("in_progress", None)], "did not end in 600 s: run"),
        ([None], "no run .* appeared"),
    ],
)
def test_a_run_that_does_not_succeed(state: State, statuses: list[tuple[str, str | None] | None], reason: str) -> None:
    """Promise: no release without a signature, and no wait without an end."""
    state.statuses = statuses
    with pytest.raises(ReleaseError, match=reason):
        start(state)


def test_a_release_shows_when_it_is_complete(state: State, tmp_path: Path) -> None:
    """Promise: no release is shown without its files, and no service's release becomes the latest of the project."""
    files = [tmp_path / "sbom.spdx.json", tmp_path / "a b.whl"]
    for path in files:
        path.write_text(path.name)
    assert github(state).release("krane/v1.4.0", "Notes", files, prerelease=False) == "release"
    assert state.calls() == [
        "GET /releases?per_page=100",
        "POST /releases",
        "POST /upload?name=sbom.spdx.json",
        "POST /upload?name=a%20b.whl",
        "PATCH /releases/5",
    ]
    made = state.requests[1][2]
    assert (made["tag_name"], made["draft"], made["make_latest"], made["body"]) == (
        "krane/v1.4.0",
        True,
        "false",
        "Notes",
    )
    assert state.requests[2][2] == "sbom.spdx.json"
    assert state.requests[4][2]["draft"] is False


def test_a_release_is_made_once(state: State) -> None:
    """Promise: a repeated job leaves a published release alone and makes a half-made one again."""
    state.releases = [
        {"tag_name": "api/v1.4.0", "draft": True, "id": 1, "html_url": "other"},
        {"tag_name": "krane/v1.4.0", "draft": True, "id": 2, "html_url": "half"},
    ]
    github(state).release("krane/v1.4.0", "Notes", [], prerelease=True)
    assert state.calls()[1] == "DELETE /releases/2"
    state.releases[1]["draft"] = False
    state.requests.clear()
    assert github(state).release("krane/v1.4.0", "Notes", [], prerelease=True) == "half"
    assert state.calls() == ["GET /releases?per_page=100"]


def test_refusals_say_what_github_said(state: State) -> None:
    """Promise: a missing permission can be read from the log; the token can't."""
    state.refuse = "POST /releases"
    with pytest.raises(ReleaseError, match=r"answered 403 to POST .*/releases: .*not accessible"):
        github(state).release("krane/v1.4.0", "Notes", [], prerelease=False)
    assert "secret" not in repr(github(state, "secret"))
