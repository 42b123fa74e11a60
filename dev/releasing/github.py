"""GitHub: run a workflow and wait for it, make a release. Each may be repeated after a failure."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.releasing.errors import ReleaseError

_TIMEOUT_S = 60
_POLL_S = 10.0
# A run appears in the list some seconds after it was requested.
_APPEARS_WITHIN_S = 300.0


@dataclass(frozen=True)
class GitHub:
    """The API for one repository (`sealift/sealift`). The token is never shown."""

    repository: str
    token: str = field(repr=False)
    url: str = "https://api.github.com"
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def run_workflow(self, file: str, ref: str, inputs: dict[str, str], title: str, timeout_s: float) -> str:
        """Starts `.github/workflows/<file>` at the tag `ref` and waits for its success; returns the run's address.

        Args:
            file: name of the workflow file; it must be startable by hand.
            ref: the tag, without refs/tags/.
            inputs: what it asks for.
            title: the run-name that this run, and no other, will have.
            timeout_s: seconds that the run may take.

        Raises:
            ReleaseError: It did not appear, did not end in time, or did not succeed.
        """
        self._call("POST", f"/actions/workflows/{file}/dispatches", {"ref": f"refs/tags/{ref}", "inputs": inputs})
        started = self.clock()
        while True:
            run = self._run(file, title)
            waited = self.clock() - started
            if run is None and waited > _APPEARS_WITHIN_S:
                raise ReleaseError(f"{file} was started at {ref} but no run {title!r} appeared in {int(waited)} s")
            if run and run["status"] == "completed":
                if run["conclusion"] != "success":
                    raise ReleaseError(f"{file} ended with {run['conclusion']}: {run['html_url']}")
                return str(run["html_url"])
            if waited > timeout_s:
                raise ReleaseError(f"{file} did not end in {int(timeout_s)} s: {run['html_url'] if run else 'no run'}")
            self.sleep(_POLL_S)

    def release(self, tag: str, notes: str, files: Sequence[Path], *, prerelease: bool) -> str:
        """The release of an existing tag, with its files; returns its address.

        It becomes visible only when it is complete. A published one is left as it is, a draft is made again.

        Raises:
            ReleaseError: GitHub refuses.
        """
        for old in self._call("GET", "/releases?per_page=100"):
            if old["tag_name"] == tag and not old["draft"]:
                return str(old["html_url"])
            if old["tag_name"] == tag:
                self._call("DELETE", f"/releases/{old['id']}")
        body = {
            "tag_name": tag,
            "name": tag.replace("/", " "),
            "body": notes,
            "draft": True,
            "prerelease": prerelease,
            # The newest release of one service is not the newest of the project.
            "make_latest": "false",
        }
        made = self._call("POST", "/releases", body)
        upload = made["upload_url"].partition("{")[0]
        for path in files:
            self._send("POST", f"{upload}?name={urllib.parse.quote(path.name)}", path.read_bytes())
        shown = self._call("PATCH", f"/releases/{made['id']}", {"draft": False, "make_latest": "false"})
        return str(shown["html_url"])

    def _run(self, file: str, title: str) -> dict[str, Any] | None:
        runs = self._call("GET", f"/actions/workflows/{file}/runs?event=workflow_dispatch&per_page=50")
        found: list[dict[str, Any]] = [run for run in runs["workflow_runs"] if run["display_title"] == title]
        return found[0] if found else None

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        return self._send(method, f"{self.url}/repos/{self.repository}{path}", data, "application/json")

    def _send(self, method: str, url: str, data: bytes | None, kind: str = "application/octet-stream") -> Any:
        request = urllib.request.Request(url, data=data, method=method)
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", kind)
        request.add_header("X-GitHub-Api-Version", "2022-11-28")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", errors="replace")[:500]
            raise ReleaseError(f"GitHub answered {error.code} to {method} {url.partition('?')[0]}: {text}") from error
        except OSError as error:
            raise ReleaseError(f"GitHub cannot be reached for {method} {url.partition('?')[0]}: {error}") from error
        return json.loads(text) if text else None
