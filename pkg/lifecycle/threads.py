"""Closing what blocks while it closes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


async def close_in_thread(close: Callable[[], object]) -> None:
    """Runs a blocking `close` in a separate thread: it may join threads of other executors."""
    with ThreadPoolExecutor(1, thread_name_prefix="close") as executor:
        await asyncio.get_running_loop().run_in_executor(executor, close)
