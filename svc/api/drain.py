"""`python -m build.api.drain`: holds new work back until nothing is under way, where no supervisor runs.

Run it before workers of a new version start: other code may have other steps and can't continue what this code
started. New deploys are recorded meanwhile, and start after `--undo`. Both may be repeated.

Exit codes: 0 quiet, or undone; 1 not, and the drain is ended; 2 wrong usage.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkg.config import ConfigError, read_secret_text

POLL_S = 1.0
CALL_TIMEOUT_S = 10.0
AWAY_FOR_S = 60.0  # an api that is starting again


class RefusedError(Exception):
    """The api does not answer, or refuses; says why."""


class _Api:
    """The api's JSON methods, with a key of role admin."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Waits for an api that is away. Raises RefusedError."""
        request = urllib.request.Request(  # noqa: S310 - main has checked the scheme
            f"{self._url}/sealift.ctrl.v1.CtrlService/{method}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        end = time.monotonic() + AWAY_FOR_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310
                    said: dict[str, Any] = json.load(answer)
                    return said
            except urllib.error.HTTPError as error:
                text = error.read(4096).decode(errors="replace")
                if error.code != 503 or time.monotonic() >= end:
                    raise RefusedError(f"the api refuses {method}: HTTP {error.code} {text}") from error
            except (OSError, ValueError) as error:
                if time.monotonic() >= end:
                    raise RefusedError(f"the api does not answer at {self._url}: {error}") from error
            time.sleep(POLL_S)


def main(argv: Sequence[str] | None = None) -> int:
    """Drains, or ends the drain of this key."""
    parser = argparse.ArgumentParser(prog="sealift-drain", description="Hold new work back before an upgrade.")
    parser.add_argument("--url", required=True, help="of the api's HTTP listener, e.g. http://sealift-api:7401")
    parser.add_argument("--key-file", required=True, type=Path, metavar="FILE", help="holds a key of role admin")
    parser.add_argument("--timeout-s", type=float, default=1800, help="for getting quiet [default: 1800]")
    parser.add_argument("--undo", action="store_true", help="end the drain: what was recorded starts")
    given = parser.parse_args(argv)
    if not given.url.startswith(("http://", "https://")):
        parser.error(f"--url: expected an http or https URL, got {given.url!r}")
    try:
        api = _Api(given.url, read_secret_text(given.key_file))
        # Of one key and reason there is one drain: this begins it, or finds it.
        drain = api.call("BeginDrain", {"reason": "DRAIN_REASON_UPGRADE"})["drain"]["drainId"]
        if not given.undo and _wait(api, drain, given.timeout_s):
            _say(f"Quiet. Drain {drain} goes on until --undo.")
            return 0
        api.call("EndDrain", {"drainId": drain})
    except ConfigError as error:
        return _fail(error.message)
    except RefusedError as error:
        return _fail(str(error))
    if given.undo:
        _say(f"Drain {drain} has ended: what was recorded starts, unless another drain is active.")
        return 0
    return _fail(f"not quiet after {given.timeout_s:.0f} s: the drain was ended; nothing was cancelled.")


def _wait(api: _Api, drain: str, timeout_s: float) -> bool:
    """Until two polls in a row find nothing: what an api that died has just sent shows up between them."""
    end, quiet_polls, shown = time.monotonic() + timeout_s, 0, ""
    while True:
        status = api.call("GetDrainStatus", {})
        if drain not in {one["drainId"] for one in status.get("drains", [])}:
            raise RefusedError(f"drain {drain} was ended from elsewhere")
        quiet_polls = quiet_polls + 1 if status.get("isQuiet") else 0
        if quiet_polls == 2:
            return True
        waits = [f"{work['id']} ({work.get('status', '')})" for work in status.get("inProgress", [])]
        waits += [*status.get("invocations", []), *filter(None, [status.get("problem", "")])]
        if waits and (text := ", ".join(waits)) != shown:
            shown = text
            _say(f"Waiting for {text}")
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fail(message: str) -> int:
    sys.stderr.write(f"sealift-drain: {message}\n")
    return 1
