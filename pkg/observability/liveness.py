"""Liveness for the supervisor: one answer from the event loop of a process, over a unix socket.

A socket of its own, because the answer must not depend on what others do: listeners of the network have limits that
others may use up, and may not be served at all. Whoever can reach the socket's directory may ask.
"""

import asyncio
import os
from pathlib import Path

# The supervisor names the socket here; a service without one serves none.
ENVIRONMENT_NAME = "SEALIFT_LIVENESS_SOCKET"
_REQUEST_TIMEOUT_S = 5.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


async def serve(path: Path) -> asyncio.Server:
    """Answers any HTTP request with 200 until the server is closed. A socket that a killed process left is replaced.

    Raises:
        OSError: the socket can't be made.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_ANSWER)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(answer, path)


def configured() -> Path | None:
    """Where the supervisor wants to ask; None outside of one."""
    named = os.environ.get(ENVIRONMENT_NAME)
    return Path(named) if named else None
