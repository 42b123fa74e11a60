import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pkg.lifecycle import Runner
from pkg.testing.wait import WAIT_S


def noting(order: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def cleanup() -> None:
        order.append(name)

    return cleanup


async def fail(message: str) -> None:
    raise ValueError(message)


async def forever(order: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        order.append(name)


async def test_unwinds_in_reverse_order() -> None:
    """Promise: what was registered later is gone before what it was built on."""
    order: list[str] = []
    runner = Runner()
    runner.defer("pool", noting(order, "pool"))
    runner.spawn("user", forever(order, "user"))
    runner.defer("server", noting(order, "server"))
    await asyncio.sleep(0)
    runner.stop("test")
    await runner.wait()
    assert order == ["server", "user", "pool"]
    assert runner.reason == "test"


async def test_first_task_error_wins_and_others_are_joined() -> None:
    """Promise: the error that came first comes out; later ones are notes on it, none is lost."""
    order: list[str] = []
    runner = Runner()

    async def broken() -> None:
        raise OSError("disk gone")

    runner.defer("broken", broken)
    runner.defer("fine", noting(order, "fine"))
    runner.spawn("worker", fail("first"))
    with pytest.raises(ValueError, match="first") as caught:
        await runner.wait()
    assert order == ["fine"]
    assert caught.value.__notes__ == ["also: OSError: disk gone"]


async def test_failing_cleanup_does_not_stop_the_others() -> None:
    """Promise: every cleanup runs; the failure is raised at the end."""
    order: list[str] = []
    runner = Runner()
    runner.defer("first", noting(order, "first"))
    runner.defer("broken", lambda: fail("cleanup"))
    runner.defer("last", noting(order, "last"))
    runner.stop()
    with pytest.raises(ValueError, match="cleanup"):
        await runner.wait()
    assert order == ["last", "first"]


async def test_task_that_ignores_cancellation_is_abandoned_in_time() -> None:
    """Promise: the stop is bounded whatever a task does, and says who was left behind."""
    order: list[str] = []
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                order.append("ignored")

    runner = Runner(cleanup_timeout_s=0.05)
    runner.defer("pool", noting(order, "pool"))
    task = runner.spawn("stubborn", stubborn())
    await asyncio.sleep(0)
    runner.stop()
    with pytest.raises(TimeoutError, match="task stubborn did not end within"):
        await asyncio.wait_for(runner.wait(), 2)
    assert order == ["ignored", "pool"]
    assert runner.abandoned == ["stubborn"]
    release.set()
    await task


async def test_cleanup_that_hangs_is_bounded_and_the_rest_runs() -> None:
    """Promise: one hanging cleanup costs its own bound, not the others' turn."""
    order: list[str] = []
    runner = Runner(cleanup_timeout_s=0.05)
    runner.defer("pool", noting(order, "pool"))
    runner.defer("hang", lambda: asyncio.Event().wait())
    runner.stop()
    with pytest.raises(TimeoutError, match="cleanup hang did not end"):
        await asyncio.wait_for(runner.wait(), 2)
    assert order == ["pool"]
    assert runner.abandoned == []


async def test_total_bound_covers_many_slow_cleanups() -> None:
    """Promise: the whole stop has one bound, however many steps it has."""
    runner = Runner(stop_timeout_s=0.2, cleanup_timeout_s=0.15)
    for number in range(20):
        runner.defer(f"hang{number}", lambda: asyncio.Event().wait())
    runner.stop()
    started = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await runner.wait()
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_stop_during_start_cancels_it_and_cleans_what_was_built() -> None:
    """Promise: a service that is stopped while it starts ends cleanly and starts nothing more."""
    order: list[str] = []
    runner = Runner()
    reached = asyncio.Event()

    async def start() -> None:
        runner.defer("pool", noting(order, "pool"))
        reached.set()
        await asyncio.Event().wait()
        order.append("never")

    running = asyncio.get_running_loop().create_task(runner.run(start()))
    await reached.wait()
    runner.stop("SIGTERM")
    await asyncio.wait_for(running, WAIT_S)
    assert order == ["pool"]


async def test_error_of_the_start_comes_out_after_cleanup() -> None:
    """Promise: a start that fails half way leaves nothing behind and its error is the verdict."""
    order: list[str] = []
    runner = Runner()

    async def start() -> None:
        runner.defer("pool", noting(order, "pool"))
        runner.spawn("task", forever(order, "task"))
        await asyncio.sleep(0)
        raise ValueError("port taken")

    with pytest.raises(ValueError, match="port taken"):
        await runner.run(start())
    assert order == ["task", "pool"]


async def test_task_error_during_the_start_stops_it() -> None:
    """Promise: the first error stops everything, also a start that is still waiting."""
    runner = Runner()

    async def start() -> None:
        runner.spawn("task", fail("early"))
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="early"):
        await asyncio.wait_for(runner.run(start()), WAIT_S)


async def test_spawn_after_stop_never_runs() -> None:
    """Promise: nothing new begins once stopping."""
    order: list[str] = []
    runner = Runner()
    runner.stop()
    task = runner.spawn("late", forever(order, "late"))
    await runner.wait()
    assert task.cancelled()
    assert order == []
    with pytest.raises(RuntimeError, match="after the stop"):
        runner.defer("later", noting(order, "later"))


async def test_grace_lets_a_task_finish_by_itself() -> None:
    """Promise: a task that watches `stopping` is not cut off within its grace."""
    order: list[str] = []
    runner = Runner()

    async def drain() -> None:
        await runner.stopping.wait()
        await asyncio.sleep(0)
        order.append("drained")

    runner.spawn("server", drain(), grace_s=5)
    await asyncio.sleep(0)
    runner.stop()
    await runner.wait()
    assert order == ["drained"]


async def test_a_grace_is_longer_than_a_cleanup_and_not_than_the_stop() -> None:
    """Promise: a long goodbye is waited for, what comes after it still has its time, and the whole stop is bounded."""
    order: list[str] = []
    over = asyncio.Event()
    runner = Runner(stop_timeout_s=0.4, cleanup_timeout_s=0.05)
    runner.defer("pool", noting(order, "pool"))

    async def end() -> None:
        await runner.stopping.wait()
        await asyncio.sleep(0.2)
        order.append("said goodbye")

    runner.spawn("slow", end(), grace_s=5)
    runner.spawn("endless", over.wait(), grace_s=0.1)
    await asyncio.sleep(0)
    runner.stop()
    await runner.wait()
    assert order == ["said goodbye", "pool"]
    runner = Runner(stop_timeout_s=0.2, cleanup_timeout_s=0.05)
    runner.spawn("endless", over.wait(), grace_s=60)
    runner.stop()
    await asyncio.wait_for(runner.wait(), WAIT_S)


async def test_finished_task_is_no_reason_to_stop() -> None:
    """Promise: only an error or a request stops a service."""
    runner = Runner()
    assert await runner.spawn("once", asyncio.sleep(0, "done")) == "done"
    assert not runner.stopping.is_set()
    runner.stop("first")
    runner.stop("second")
    assert runner.reason == "first"
    await runner.wait()
    await runner.wait()


async def test_context_manager_keeps_the_error_of_its_body() -> None:
    """Promise: leaving the block stops and cleans up; the body's own error is not replaced."""
    order: list[str] = []

    async def body() -> None:
        async with Runner() as runner:
            runner.defer("pool", noting(order, "pool"))
            runner.defer("broken", lambda: fail("cleanup"))
            raise KeyError("body")

    with pytest.raises(KeyError) as caught:
        await body()
    assert order == ["pool"]
    assert caught.value.__notes__ == ["also: ValueError: cleanup"]


async def test_cancelling_the_waiter_still_unwinds() -> None:
    """Promise: cancelling the waiter causes a clean stop, not a leak."""
    order: list[str] = []
    runner = Runner()
    runner.defer("pool", noting(order, "pool"))
    waiting = asyncio.get_running_loop().create_task(runner.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert order == ["pool"]


async def test_cancelling_the_run_still_ends_the_start_and_unwinds() -> None:
    """Promise: cancelling a service that is starting causes a clean stop."""
    order: list[str] = []
    runner = Runner()
    reached = asyncio.Event()

    async def start() -> None:
        runner.defer("pool", noting(order, "pool"))
        reached.set()
        await forever(order, "start")

    running = asyncio.get_running_loop().create_task(runner.run(start()))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert order == ["start", "pool"]


async def test_many_short_tasks_leave_nothing_behind() -> None:
    """Promise: a task that ended is forgotten; a service may spawn one per piece of work."""
    runner = Runner()
    await asyncio.gather(*(runner.spawn(f"t{number}", asyncio.sleep(0)) for number in range(500)))
    await asyncio.sleep(0)
    assert runner._stack == []
    runner.stop()
    await runner.wait()
