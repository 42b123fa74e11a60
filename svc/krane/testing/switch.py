"""A unix socket in front of an engine's, which can be shut or made to hang."""

import asyncio
import contextlib
from pathlib import Path


class Switch:
    """Passes connections on while it is open. Lives on one loop."""

    def __init__(self, path: Path, engine: Path) -> None:
        self._path = path
        self._engine = engine
        self._server: asyncio.Server | None = None
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listens, and passes everything on. Idempotent."""
        self._goes_on.set()
        if self._server is None:
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, self._path)

    def hang(self) -> None:
        """Takes connections and requests, and passes on nothing until `open`."""
        self._goes_on.clear()

    async def shut(self) -> None:
        """Nobody listens, and what was connected is cut, as after the end of an engine. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._path.unlink(missing_ok=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, engine_writer))
                    group.create_task(self._pass(engine_reader, writer))
            finally:
                engine_writer.transport.abort()
        except (asyncio.CancelledError, BaseExceptionGroup):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            await self._goes_on.wait()
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
