"""/health/live, /health/ready and /health/startup: open to everyone, so they answer with names and outcomes only."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

CHECK_TIMEOUT_S = 0.5

Check = Callable[[], Awaitable[object]]

log = logging.getLogger(__name__)


class Health:
    """The health of this process, as probes ask for it.

    Args:
        checks: by name; one that raises or takes over `timeout_s` makes the process not ready.
        stopping: set once the process stops: not ready from then on.
        timeout_s: of each check; all run at once.
    """

    def __init__(
        self, checks: Mapping[str, Check], stopping: asyncio.Event, *, timeout_s: float = CHECK_TIMEOUT_S
    ) -> None:
        self._timeout_s = timeout_s
        self._checks = checks
        self._stopping = stopping
        self._started = False

    def started(self) -> None:
        """Marks the start as complete."""
        self._started = True

    def add_routes(self, app: web.Application) -> None:
        """Adds the three routes."""
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/health/startup", self._startup)

    async def ready(self) -> dict[str, str]:
        """Runs all checks at once; the outcome by name: "ok", "failed" or "timeout"."""
        outcomes = await asyncio.gather(*(self._outcome(name, check) for name, check in self._checks.items()))
        found = dict(zip(self._checks, outcomes, strict=True))
        if self._stopping.is_set():
            found["process"] = "stopping"
        elif not self._started:
            found["process"] = "starting"
        return found

    async def _outcome(self, name: str, check: Check) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                await check()
        except TimeoutError:
            return "timeout"
        except Exception as error:
            log.warning("health check %s failed: %s", name, error)
            return "failed"
        return "ok"

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _startup(self, _request: web.Request) -> web.Response:
        status = "ok" if self._started else "starting"
        return web.json_response({"status": status}, status=200 if self._started else 503)

    async def _ready(self, _request: web.Request) -> web.Response:
        checks = await self.ready()
        is_ready = all(outcome == "ok" for outcome in checks.values())
        body = {"status": "ok" if is_ready else "not ready", "checks": checks}
        return web.json_response(body, status=200 if is_ready else 503)
