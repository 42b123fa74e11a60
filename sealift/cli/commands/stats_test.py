"""`sealift stats` as a process, and the line of `sealift status`."""

import json
import time

import grpc
import pytest

from sealift.cli.conftest import Program
from sealift.cli.format.stats_text import latency_text, traffic_text, trend
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import stats_pb2


def some() -> stats_pb2.GetStatsResponse:
    """Five minutes of a live deployment and of one that nothing is known of."""
    total = stats_pb2.Stats(requests=3690, known_s=300, bytes_out=5 << 20, p50_us=8200, p90_us=16_000, p99_us=41_200)
    total.app.status_2xx, total.app.status_5xx, total.ingress.status_5xx = 3680, 7, 3
    points = [stats_pb2.StatsPoint(at=0, requests=10), stats_pb2.StatsPoint(at=60_000, requests=80)]
    return stats_pb2.GetStatsResponse(
        deployments=[
            stats_pb2.DeploymentStats(
                deployment_id="dep_1", environment_slug="production", is_live=True, total=total, points=points
            ),
            stats_pb2.DeploymentStats(deployment_id="dep_0", environment_slug="preview"),
        ],
        total=total,
        notices=["unknown for 2 min between x and y UTC: region local reported no figures"],
    )


async def test_a_row_for_each_deployment(sealift: Program, server: FakeServer) -> None:
    """Promise: rates, classes and percentiles by deployment; what is unknown is called so; notices go to stderr."""
    server.stats = some()
    shown = await sealift("stats", "--since", "5m", "--env", "production")
    header, first, second = shown.out.splitlines()
    assert header.split() == [
        "DEPLOYMENT", "ENVIRONMENT", "REQ/S", "REQUESTS", "1XX", "2XX", "3XX", "4XX", "5XX", "P50", "P90", "P99", "OUT",
    ]  # fmt: skip
    assert " ".join(first.split()) == (
        "dep_1 live production 12.3 3690 0 3680 0 0 10 (3 by ingress) 8.2 ms 16 ms 41 ms 5.0 MiB"
    )
    assert second.split()[:3] == ["dep_0", "preview", "unknown"]
    assert shown.err.strip() == f"notice: {server.stats.notices[0]}"
    (request,) = server.stats_requests
    assert (request.project_id, request.environment_slug, request.points) == ("proj_hello", "production", False)
    assert abs(request.since - (time.time() - 300) * 1000) < 60_000


async def test_as_json(sealift: Program, server: FakeServer) -> None:
    """Promise: the same facts under the names of the protos, with the course of time."""
    server.stats = some()
    (event,) = (await sealift("stats", "--json")).events
    assert event["deployments"][0]["total"]["ingress"]["status_5xx"] == 3
    assert event["deployments"][1]["total"] is None
    assert event["deployments"][0]["points"][1] == {"at": 60_000, "requests": 80, "errors": 0}
    assert server.stats_requests[0].points


async def test_nothing_to_show(sealift: Program) -> None:
    """Promise: stdout is empty, and stderr says why."""
    shown = await sealift("stats")
    assert (shown.code, shown.out) == (0, "")
    assert "no deployment got a request" in shown.err


@pytest.mark.parametrize("since", ["0m", "31d", "5", "h", "-5m", "1.5h", "\u0665m", "9" * 40 + "d"])
async def test_a_time_that_is_none(sealift: Program, since: str) -> None:
    """Promise: refused as usage, with the value."""
    shown = await sealift("stats", "--since", since)
    assert shown.code == 2
    assert "is not" in shown.err


async def test_status_has_a_line_of_it(sealift: Program, server: FakeServer) -> None:
    """Promise: of a live deployment; a server that can't tell does not make the command fail."""
    await sealift("deploy")
    server.stats = some()
    assert (
        "traffic     last 5 min: 12.3 req/s, 0.27% 5xx, p50 8.2 ms, p99 41 ms\n"
        in (await sealift("status", "dep_1")).out
    )
    server.faults["GetStats"] = [grpc.StatusCode.UNIMPLEMENTED]
    shown = await sealift("status", "dep_1")
    assert shown.code == 0
    assert "traffic     last 5 min: unknown (" in shown.out
    assert "traffic" not in json.loads((await sealift("status", "dep_1", "--json")).out)


def test_unknown_is_not_none() -> None:
    """Promise: no requests and no knowledge are two things."""
    found = stats_pb2.GetStatsResponse(deployments=[stats_pb2.DeploymentStats(deployment_id="dep_1")])
    assert traffic_text(found, "dep_1", 5) == "last 5 min: unknown"
    found.notices.append("krane is away")
    assert traffic_text(found, "dep_1", 5) == "last 5 min: unknown (krane is away)"
    found.deployments[0].total.known_s = 290
    assert traffic_text(found, "dep_1", 5) == "last 5 min: no requests"


def test_latencies_have_two_digits() -> None:
    """Promise: no more digits than the histogram knows."""
    shown = [
        latency_text(stats_pb2.Stats(p50_us=value), "p50_us")
        for value in (100, 940, 8_234, 81_234, 812_345, 8_123_456, 91_000_000, 100_000_000)
    ]
    assert shown == ["0.1 ms", "0.94 ms", "8.2 ms", "81 ms", "810 ms", "8.1 s", "91 s", "over 100 s"]
    assert latency_text(stats_pb2.Stats(), "p50_us") == "-"


def test_a_trend() -> None:
    """Promise: as wide as there are steps, at most 24 places; the highest bar is the busiest time."""
    assert trend([]) == ""
    assert trend([0, 0]) == "  "
    assert trend([0, 1, 8]) == " ▂█"
    assert len(trend(list(range(180)))) == 24
