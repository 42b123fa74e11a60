"""Envoy's admin interface, over its unix socket."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import aiohttp

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class EnvoyAdmin:
    """An async context manager. An Envoy that was restarted in between is found again by the next call.

    Args:
        socket: that Envoy opens.
        timeout_s: for each call.
    """

    def __init__(self, socket: Path, timeout_s: float) -> None:
        self._socket = socket
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(str(self._socket))
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        self._session = aiohttp.ClientSession("http://envoy", connector=connector, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> bytes:
        """The answer to a question. Raises OSError: Envoy does not answer in time, or refuses."""
        return await self.request("GET", path, parameters)

    async def post(self, path: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> None:
        """Changes something. Raises OSError, as `get`."""
        await self.request("POST", path, parameters)

    async def request(self, method: str, path: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> bytes:
        """What Envoy answers. Raises OSError, as `get`."""
        try:
            async with self._session.request(method, path, params=parameters or None) as response:
                response.raise_for_status()
                return await response.read()
        except aiohttp.ClientError as error:
            raise OSError(f"Envoy's admin interface: {error}") from error
