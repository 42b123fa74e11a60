"""Sends requests at a fixed rate, whatever the answers do, in a process of its own. Arguments: URL SECONDS RATE.

Prints one JSON object: the milliseconds from the moment at which each request was due to the end of its answer, and the
failures. A client that waits for an answer before it sends the next request would hide the slow ones.
"""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
FIRST_S = 0.2


async def run(url: str, seconds: float, rate: float) -> dict[str, Any]:
    """Every request has a connection of its own."""
    parts = urlsplit(url)
    request = f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    took_ms: list[float] = []
    failures: list[str] = []

    async def one(due: float) -> None:
        await asyncio.sleep(due - loop.time())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", parts.port or 80)
                writer.write(request)
                answer = await reader.read()
                writer.close()
        except (OSError, TimeoutError) as error:
            failures.append(repr(error))
            return
        if answer.startswith(b"HTTP/1.1 200 "):
            took_ms.append((loop.time() - due) * 1000)
        else:
            failures.append(answer[:80].decode(errors="replace"))

    began = loop.time() + FIRST_S
    await asyncio.gather(*(one(began + number / rate) for number in range(int(seconds * rate))))
    return {"took_ms": took_ms, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
