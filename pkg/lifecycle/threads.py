"""Work in threads that must end before what comes after it."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


async def close_in_thread(close: Callable[[], object]) -> None:
    """Runs a blocking `close` in a separate thread: it may join threads of other executors."""
    with ThreadPoolExecutor(1, thread_name_prefix="close") as executor:
        await asyncio.get_running_loop().run_in_executor(executor, close)


async def whole(work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
    """The result of `work`, which ends even when the caller is cancelled, before the caller goes on.

    For work in a thread, which no cancellation ends, on a file or a descriptor that is used or closed next.
    """
    task = work if isinstance(work, asyncio.Task) else asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
