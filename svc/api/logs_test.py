"""Lines of apps from krane's report to the streams of those who read them."""

import asyncio
import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from pkg.deployments.status import Status
from pkg.ids import new_id
from pkg.telemetry.sqlite import SqliteTelemetry
from sealift.ctrl.v1 import log_pb2 as pb
from svc.api.cluster_testing import register
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready, walk_to
from svc.api.logs import intake, sharing, stream
from svc.api.testing import REGION, RunningApi, refused

WAIT_S = 60


@pytest.fixture(autouse=True)
async def epoch(api: RunningApi) -> str:
    return await register(api)


@pytest.fixture
async def deployment_id(deploy: Deploy) -> str:
    return (await deploy()).deployment_id


def batch(
    deployment_id: str, first: int, last: int, source: str = "a", *, at: int = 1000, text: str = "", resume: str = ""
) -> pb.LogBatch:
    """Lines of one instance, one in each millisecond."""
    lines = [
        pb.ReportedLine(seq=seq, at=at + seq, stream=pb.LOG_STREAM_STDOUT, text=text or f"{source}{seq}")
        for seq in range(first, last + 1)
    ]
    return pb.LogBatch(
        deployment_id=deployment_id, instance_id=f"app-{source}", source_id=source, lines=lines, resume=resume
    )


async def report(api: RunningApi, *batches: pb.LogBatch) -> Sequence[pb.LogHead]:
    """What krane of the region reports."""
    answer = await api.krane.cluster.ReportLogs(pb.ReportLogsRequest(region=REGION, batches=batches))
    heads: Sequence[pb.LogHead] = answer.heads
    return heads


async def read(api: RunningApi, deployment_id: str, **fields: Any) -> list[pb.GetLogsResponse]:
    """All messages of a stream that ends."""
    request = pb.GetLogsRequest(deployment_id=deployment_id, **fields)
    async with asyncio.timeout(WAIT_S):
        return [message async for message in api.admin.deployment.GetLogs(request)]


def texts(messages: Sequence[pb.GetLogsResponse]) -> list[str]:
    """Of all lines."""
    return [line.text for message in messages for line in message.lines]


class Follower:
    """A stream that is followed."""

    def __init__(self, api: RunningApi, deployment_id: str, **fields: Any) -> None:
        self.call = api.admin.deployment.GetLogs(pb.GetLogsRequest(deployment_id=deployment_id, follow=True, **fields))
        self.messages: list[pb.GetLogsResponse] = []

    async def until(self, count: int) -> list[str]:
        """The texts, once there are so many."""
        async with asyncio.timeout(WAIT_S):
            while len(texts(self.messages)) < count:
                self.messages.append(await self.call.read())
        return texts(self.messages)


async def test_a_head_says_where_krane_goes_on(api: RunningApi, deployment_id: str) -> None:
    """Promise: a source is known with what is stored of it, and a repeated batch is there once."""
    (head,) = await report(api, batch(deployment_id, 1, 0))
    assert (head.source_id, head.seq, head.resume) == ("a", 0, "")
    for _ in range(2):
        assert not await report(api, batch(deployment_id, 1, 3, resume="r3"))
    (head,) = await report(api, batch(deployment_id, 1, 0))
    assert (head.seq, head.at, head.resume) == (3, 1003, "r3")
    assert not await report(api, batch("dep_" + "0" * 26, 1, 0))
    assert texts(await read(api, deployment_id)) == ["a1", "a2", "a3"]


async def test_history_by_time_newest_and_instance(api: RunningApi, deployment_id: str) -> None:
    """Promise: lines of all instances are in order of time; since, tail and instances choose among them."""
    await report(api, batch(deployment_id, 1, 3, "a"), batch(deployment_id, 1, 4, "b"))
    (message,) = await read(api, deployment_id)
    assert texts([message]) == ["a1", "b1", "a2", "b2", "a3", "b3", "b4"]
    assert (message.lines[0].instance_id, message.lines[0].region, message.lines[0].at) == ("app-a", REGION, 1001)
    assert texts(await read(api, deployment_id, tail=3)) == ["a3", "b3", "b4"]
    assert texts(await read(api, deployment_id, since=1003)) == ["a3", "b3", "b4"]
    assert texts(await read(api, deployment_id, since=1002, instance_ids=["app-a"])) == ["a2", "a3"]
    assert texts(await read(api, deployment_id, tail=2, instance_ids=["app-a", "app-x"])) == ["a2", "a3"]


async def test_a_cursor_resumes_after_every_line(api: RunningApi, deployment_id: str) -> None:
    """Promise: wherever a reader stopped, it goes on without a line twice or missing, also with lines of before."""
    await report(api, batch(deployment_id, 1, 9, "a"), batch(deployment_id, 1, 9, "b"))
    for chosen in ({}, {"tail": 6}, {"since": 1005}):
        (whole,) = await read(api, deployment_id, line_cursors=True, **chosen)
        for number, line in enumerate(whole.lines):
            rest = texts(await read(api, deployment_id, after=line.cursor))
            assert sorted(rest) == sorted(texts([whole])[number + 1 :])
        assert whole.lines[-1].cursor == whole.cursor
    await report(api, batch(deployment_id, 1, 2, "late", at=0), batch(deployment_id, 10, 10, "a"))
    assert sorted(texts(await read(api, deployment_id, after=whole.cursor))) == ["a10"]


async def test_followers_get_history_and_then_what_comes(api: RunningApi, deployment_id: str) -> None:
    """Promise: each follower has each line once, whenever it joined and whatever it asked for."""
    await report(api, batch(deployment_id, 1, 3, "a"))
    followers = [Follower(api, deployment_id), Follower(api, deployment_id, tail=1)]
    assert await followers[0].until(3) == ["a1", "a2", "a3"]
    assert await followers[1].until(1) == ["a3"]
    await report(api, batch(deployment_id, 4, 5, "a"), batch(deployment_id, 1, 1, "b"))
    followers += [Follower(api, deployment_id), Follower(api, deployment_id, instance_ids=["app-b"])]
    followers += [Follower(api, deployment_id, line_cursors=True, since=1004)]
    await report(api, batch(deployment_id, 2, 2, "b"), batch(deployment_id, 6, 6, "a"))
    every = ["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2"]
    for follower, expected in zip(followers, (every, every[2:], every, ["b1", "b2"], ["a4", "a5", "a6"]), strict=True):
        assert sorted(await follower.until(len(expected))) == expected
        follower.call.cancel()
    assert followers[-1].messages[-1].lines[-1].cursor


async def test_a_follower_that_is_slow_misses_nothing(
    api: RunningApi, deployment_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a client that stops reading holds nobody up and loses nothing; what it left is read from the store."""
    monkeypatch.setattr(sharing, "KEPT_CHARS", 1)
    slow, quick = Follower(api, deployment_id), Follower(api, deployment_id)
    await report(api, batch(deployment_id, 1, 1))
    await slow.until(1)
    text = "x" * 10_000
    for first in range(2, 1502, 50):
        await report(api, batch(deployment_id, first, first + 49, text=text))
        await quick.until(first + 49)
    assert await slow.until(1501) == ["a1"] + [text] * 1500
    slow.call.cancel()
    quick.call.cancel()


async def test_following_ends_with_the_deployment(
    api: RunningApi, deployment_id: str, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: once nothing of a deployment runs any more, and it printed no line for a while, the stream ends.

    What others print meanwhile does not matter.
    """
    monkeypatch.setattr(sharing, "RECHECK_S", 0.2)
    other = (await deploy(branch="other")).deployment_id
    await report(api, batch(deployment_id, 1, 1))
    following = asyncio.create_task(read(api, deployment_id, follow=True))
    await api.db.write(walk_to, deployment_id, Status.FAILED)
    async with asyncio.timeout(WAIT_S):
        for number in itertools.count(1):
            await report(api, batch(other, number, number, "b"))
            if (await asyncio.wait({following}, timeout=0.02))[0]:
                break
    assert texts(await following) == ["a1"]


async def test_following_ends_with_the_next_live_deployment(
    api: RunningApi, deployment_id: str, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: with until_replaced it ends once another one is live, lines or not; without, it goes on."""
    monkeypatch.setattr(stream, "RECHECK_S", 0.2)
    await report(api, batch(deployment_id, 1, 1))
    await api.db.write(make_ready, deployment_id)
    following = asyncio.create_task(read(api, deployment_id, follow=True, until_replaced=True))
    staying = Follower(api, deployment_id)
    await staying.until(1)
    for first in (2, 3):
        await report(api, batch(deployment_id, first, first))
        await staying.until(first)
    assert not following.done()
    await api.db.write(partial(make_ready, hostname="hello.test"), (await deploy()).deployment_id)
    async with asyncio.timeout(WAIT_S):
        assert texts(await following) == ["a1", "a2", "a3"]
    await report(api, batch(deployment_id, 4, 4))
    assert await staying.until(4) == ["a1", "a2", "a3", "a4"]
    staying.call.cancel()


async def test_what_is_refused(api: RunningApi, deployment_id: str, deploy: Deploy) -> None:
    """Promise: bad requests are named by field; other workspaces' deployments are unknown."""
    for fields, words in (
        ({"after": "nonsense"}, "after"),
        ({"after": "1-5_a-1-1", "tail": 3}, "after"),
        ({"tail": 1001}, "tail"),
        ({"instance_ids": ["a\0"]}, "instance_ids"),
    ):
        with pytest.raises(aio.AioRpcError) as error:
            await read(api, deployment_id, **fields)
        assert refused(error.value)[0::2] == (grpc.StatusCode.INVALID_ARGUMENT, words)
    with pytest.raises(aio.AioRpcError) as error:
        await read(api, "dep_" + "0" * 26)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    bad = batch(deployment_id, 1, 2)
    bad.lines[1].seq = 4
    for wrong in (bad, batch(deployment_id, 1, 1, "A"), batch(deployment_id, 1, 1, text="x" * 16385), batch("x", 1, 1)):
        with pytest.raises(aio.AioRpcError) as error:
            await report(api, wrong)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    """Promise: a deployment's log stays about as large as configured; its newest lines are there."""
    telemetry = SqliteTelemetry(tmp_path / "telemetry.db")
    stored = intake.LogIntake(telemetry, 1 << 20)
    deployment_id, text = new_id("dep"), "x" * 16_000
    for first in range(1, 1001, 10):
        request = pb.ReportLogsRequest(region=REGION)
        request.batches.append(batch(deployment_id, first, first + 9, at=first * 1000, text=text))
        await stored.store(intake.batches(request))
    lines = await telemetry.logs.read_newest(deployment_id, 0)
    assert 1 << 19 < sum(len(line.text) for line in lines) < 3 << 19
    assert lines[-1].seq == 1000
    await telemetry.close()
