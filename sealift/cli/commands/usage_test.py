"""`sealift usage` as a process."""

import time

import pytest

from sealift.cli.conftest import Program
from sealift.cli.format.tables import fit_table
from sealift.cli.format.usage_text import HEADER, SPARE, amount_text, usage_rows
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import usage_pb2 as pb


def some() -> pb.GetUsageResponse:
    """A day of two environments; disks are unknown."""
    production = pb.Usage(
        vcpu_s=1234.5, memory_gib_h=2.25, instance_s=7200, restarts=3, network_rx_bytes=5 << 20, network_tx_bytes=0
    )
    preview = pb.Usage(vcpu_s=0.0123, instance_s=60)
    return pb.GetUsageResponse(
        environments=[
            pb.EnvironmentUsage(environment_slug="preview", usage=preview),
            pb.EnvironmentUsage(environment_slug="production", usage=production),
        ],
        deployments=[
            pb.DeploymentUsage(deployment_id="dep_1", environment_slug="production", is_live=True, usage=production),
            pb.DeploymentUsage(deployment_id="dep_0", environment_slug="preview", usage=preview),
        ],
        total=production,
        left_out=2,
        notices=["unknown: disk traffic of 2 of 2 instances in region local"],
    )


async def test_a_row_for_each_environment(sealift: Program, server: FakeServer) -> None:
    """Promise: the figures of each environment and of all; what is unknown is called so; notices go to stderr."""
    server.usage = some()
    shown = await sealift("usage", "--since", "7d")
    header, preview, production, total = (" ".join(line.split()) for line in shown.out.splitlines())
    assert header == ("ENVIRONMENT VCPU-SECONDS GIB-HOURS INSTANCE-HOURS RESTARTS NET IN NET OUT DISK READ DISK WRITE")
    assert preview == "preview 0.0123 0 0.0167 0 unknown unknown unknown unknown"
    assert production == "production 1234 2.25 2 3 5.0 MiB 0 B unknown unknown"
    assert total == production.replace("production", "total")
    assert shown.err.strip() == f"notice: {server.usage.notices[0]}"
    (request,) = server.usage_requests
    assert (request.project_id, request.HasField("environment_slug"), request.instances) == ("proj_hello", False, False)
    assert abs(request.since - (time.time() - 7 * 86400) * 1000) < 60_000


async def test_a_row_for_each_process(sealift: Program, server: FakeServer) -> None:
    """Promise: --processes shows web and each process, of all that is asked for."""
    server.usage = some()
    for name in ("web", "worker"):
        server.usage.processes.add(process=name, usage=pb.Usage(vcpu_s=2, memory_gib_h=1, instance_s=3600))
    shown = await sealift("usage", "--processes")
    header, web, worker = (" ".join(line.split()) for line in shown.out.splitlines())
    assert header.startswith("PROCESS VCPU-SECONDS")
    assert web.startswith("web 2 1 1 0 unknown")
    assert worker.startswith("worker 2 1 1 0 unknown")


async def test_a_row_for_each_deployment(sealift: Program, server: FakeServer) -> None:
    """Promise: --deployments shows each of them, and says how many are left out."""
    server.usage = some()
    shown = await sealift("usage", "--deployments", "--env", "production")
    assert [line.split()[:3] for line in shown.out.splitlines()[1:]] == [
        ["dep_1", "live", "production"], ["dep_0", "preview", "0.0123"]
    ]  # fmt: skip
    assert "and 2 more that used less CPU" in shown.err
    assert server.usage_requests[0].environment_slug == "production"


async def test_as_json(sealift: Program, server: FakeServer) -> None:
    """Promise: the same facts under the names of the protos, with instances; what is unknown is null."""
    server.usage = some()
    (event,) = (await sealift("usage", "--json")).events
    assert event["environments"][1]["usage"]["vcpu_s"] == 1234.5
    assert event["environments"][1]["usage"]["network_tx_bytes"] == 0
    assert event["total"]["disk_read_bytes"] is None
    assert server.usage_requests[0].instances


async def test_nothing_to_show(sealift: Program) -> None:
    """Promise: stdout is empty, and stderr says why."""
    shown = await sealift("usage")
    assert (shown.code, shown.out, shown.err.strip()) == (0, "", "nothing was measured in this time")


@pytest.mark.parametrize("since", ["0m", "401d", "5", "h"])
async def test_a_time_that_is_none(sealift: Program, since: str) -> None:
    """Promise: refused as usage, with the value."""
    shown = await sealift("usage", "--since", since)
    assert shown.code == 2
    assert "is not" in shown.err


def test_it_fits_a_terminal() -> None:
    """Promise: 80 columns show what matters most."""
    shown = fit_table(HEADER, usage_rows(some()), 80, spare=SPARE)
    assert max(map(len, shown.splitlines())) <= 80
    assert all(name in shown for name in ("VCPU-SECONDS", "GIB-HOURS", "NET OUT"))


def test_amounts() -> None:
    """Promise: small amounts keep their digits, large ones have no false ones."""
    assert [amount_text(one) for one in (0, 0.00001, 0.01234, 1.5, 99.4, 12345.6)] == [
        "0", "0", "0.0123", "1.5", "99.4", "12346"
    ]  # fmt: skip
