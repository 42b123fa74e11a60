"""Has Envoy send its clients elsewhere while its replica is out of service."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from svc.krane.ingress.admin import EnvoyAdmin

log = logging.getLogger(__name__)

TICK_S = 1.0
TIMEOUT_S = 2.0


class OutOfService:
    """Envoy closes each connection after its next answer while `is_allowed` is false, and answers as before.

    New connections go elsewhere because the replica is not ready; kept ones would stay with a stale Envoy.
    """

    def __init__(self, admin_socket: Path, is_allowed: Callable[[], bool]) -> None:
        self._admin_socket = admin_socket
        self._is_allowed = is_allowed

    async def run(self) -> None:
        """Follows until cancelled. Tells again while out of service: Envoy may have been restarted."""
        was_allowed = False  # an earlier process may have left it out of service
        while True:
            is_allowed = self._is_allowed()
            if not (is_allowed and was_allowed):
                try:
                    async with EnvoyAdmin(self._admin_socket, TIMEOUT_S) as admin:
                        await admin.post(f"/healthcheck/{'ok' if is_allowed else 'fail'}")
                    if is_allowed != was_allowed:
                        log.info("envoy is in service" if is_allowed else "envoy is out of service")
                    was_allowed = is_allowed
                except OSError:
                    pass  # it is away: then it serves nobody
            await asyncio.sleep(TICK_S)
