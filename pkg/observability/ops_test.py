"""The listener for metrics and health."""

import aiohttp

from pkg.lifecycle import Runner
from pkg.observability import ops
from pkg.observability.metrics import Metrics
from pkg.testing.ports import free_port


async def test_metrics_and_health() -> None:
    # Promise: alive at once, ready only when the service says so, and never while stopping.
    is_ready = False
    port = free_port()
    async with Runner() as runner:
        await ops.serve(f"127.0.0.1:{port}", Metrics("krane", "inst_test"), lambda: is_ready, runner)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def status(path: str) -> int:
                async with session.get(path) as answer:
                    return answer.status

            assert await status("/health/live") == 200
            assert await status("/health/ready") == 503
            is_ready = True
            assert await status("/health/ready") == 200
            async with session.get("/metrics") as answer:
                assert 'service_instance_id="inst_test"' in await answer.text()


async def test_a_service_may_be_started_and_not_ready() -> None:
    """The startup probe asks once whether it has come up; readiness may go and come back later."""
    port = free_port()
    async with Runner() as runner:
        metrics = Metrics("krane", "inst_test")
        await ops.serve(f"127.0.0.1:{port}", metrics, lambda: False, runner, is_started=lambda: True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for path, expected in (("/health/startup", 200), ("/health/ready", 503)):
                async with session.get(path) as answer:
                    assert answer.status == expected
