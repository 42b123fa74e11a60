"""`sealift status` of an environment, as a process."""

import json
import re
import time

import grpc
import pytest

from sealift.cli.conftest import Program
from sealift.client import testing_deployment
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import acme_pb2, domain_pb2, environment_pb2, stats_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb

DAY_MS = 86_400_000


@pytest.fixture
async def shop(sealift: Program, server: FakeServer) -> None:
    """dep_2 is live with a domain and certificates, dep_1 is warm, dep_3 failed, dep_4 waits."""
    await sealift("deploy", "--image", "shop:1")
    await sealift("deploy", "--image", "shop:2")
    server.scenario = testing_deployment.building_fails
    await sealift("deploy")
    server.scenario = testing_deployment.is_held
    await sealift("deploy", "--detach")
    server.deployments["dep_1"].deployment.run_state = pb.RUN_STATE_STANDBY
    live = server.deployments["dep_2"].deployment
    live.urls[:] = ["https://www.example.com", "https://hello.apps.example", "https://hello-dep-2.apps.example"]
    live.git_commit.commit_sha, live.git_commit.commit_message = "1a2b3c4" * 5, "Fix the \x1b[31mform\n\nlong"
    live.replicas = 3
    live.notices.append("live is dep_2 (newer)")
    live.instances.add(region="local", state=pb.INSTANCE_STATE_HEALTHY, restarts=2)
    live.instances.add(region="local", replica=1, state=pb.INSTANCE_STATE_UNHEALTHY, reason="probes fail: 500")
    live.instances.add(region="local", replica=2, state=pb.INSTANCE_STATE_STOPPED)
    total = stats_pb2.Stats(requests=12_345, known_s=3600, p50_us=8200, p99_us=41_200)
    total.app.status_2xx, total.app.status_5xx, total.ingress.status_5xx = 12_300, 12, 3
    server.stats = stats_pb2.GetStatsResponse(total=total)
    for name, hostname in (("www.example.com", "www.example.com"), ("shop.example.com", "shop.example.com")):
        server.domains[name] = domain_pb2.Domain(
            hostname=hostname,
            unicode_hostname=name,
            environment_id="env_production",
            status=domain_pb2.DOMAIN_STATUS_ACTIVE if name.startswith("www") else domain_pb2.DOMAIN_STATUS_PENDING,
            reason="" if name.startswith("www") else "the TXT record is missing",
            url=f"https://{hostname}",
        )
    server.certificates["www.example.com"] = acme_pb2.ManagedCertificate(
        name="www.example.com",
        state=acme_pb2.CERTIFICATE_STATE_VALID,
        not_after=1_800_000_000_000,
    )
    server.environments["preview"].live_deployment_id = "dep_9"
    server.environments["staging"] = environment_pb2.Environment(environment_id="env_staging", slug="staging")


@pytest.mark.usefixtures("shop")
async def test_all_on_one_screen(sealift: Program) -> None:
    """Promise: what is live and warm, what failed and why, instances, requests, errors, domains, certificates."""
    done = await sealift("status")
    assert (done.code, done.err) == (0, "")
    assert re.sub(r"\d+ s ago", "now", done.out).splitlines() == [
        "hello · production",
        "live        dep_2 main, now, 1a2b3c4 Fix the form",
        "url         https://www.example.com",
        "instances   local: 1 healthy, 3 wanted; 2 restarts",
        "            local/1 unhealthy  probes fail: 500",
        "notice      live is dep_2 (newer)",
        "warm        dep_1 main, now, shop:1",
        "under way   dep_4 main, now: an upgrade is near",
        "last failed dep_3 main, now",
        '            building: "make" ended with code 7 [build.command_failed]',
        "last hour   12,345 requests (3.43/s), 15 errors (0.12%; 12 by the app, 3 by the ingress), "
        "p50 8.2 ms, p99 41 ms",
        "domains     shop.example.com pending: the TXT record is missing",
        "            www.example.com active",
        "certificate www.example.com: valid until 2027-01-15",
        "also        preview: live is dep_9",
        "            nothing is live in staging",
    ]


@pytest.mark.usefixtures("shop")
async def test_a_terminal_of_24_lines(sealift: Program, server: FakeServer) -> None:
    """Promise: with much of everything it still fits 80 columns and 24 lines, and names the commands for the rest."""
    live = server.deployments["dep_2"].deployment
    for replica in range(3, 9):
        live.instances.add(region="local", replica=replica, state=pb.INSTANCE_STATE_FAILED)
    server.deployments["dep_3"].deployment.error.message = "it failed because " + "many words " * 60
    for number in range(5):
        name = f"a{number}.example.com"
        server.domains[name] = domain_pb2.Domain(unicode_hostname=name, environment_id="env_production")
    sealift.env["COLUMNS"], sealift.env["LINES"] = "80", "24"
    async with sealift.at_terminal("status") as terminal:
        assert await terminal.end() == 0
    lines = terminal.text.replace("\r\n", "\n").splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 26
    text = "\n".join(lines)
    assert "… 4 more: sealift ps" in text
    assert "… 4 more: sealift domains" in text


@pytest.mark.usefixtures("shop")
async def test_as_json(sealift: Program) -> None:
    """Promise: the same facts as one object with the names of the protos."""
    (found,) = (await sealift("status", "--json")).events
    assert (found["environment"]["slug"], found["live"]["deployment_id"]) == ("production", "dep_2")
    assert [one["deployment_id"] for one in (*found["standby"], *found["under_way"])] == ["dep_1", "dep_4"]
    assert found["last_failed"]["error"]["code"] == "build.command_failed"
    assert found["requests"]["total"]["ingress"]["status_5xx"] == 3
    assert [one["status"] for one in found["domains"]] == ["pending", "active"]
    assert found["certificates"]["www.example.com"]["state"] == "valid"
    assert [one["slug"] for one in found["others"]] == ["preview", "staging"]
    assert found["unknown"] == []


async def test_what_is_unknown_is_said(sealift: Program, server: FakeServer) -> None:
    """Promise: a part that can't be read is named and does not hide the rest; a missing certificate is none."""
    await sealift("deploy", "--image", "x")
    server.deployments["dep_1"].deployment.urls[:] = ["https://hello.apps.example"]
    server.faults["GetStats"] = [grpc.StatusCode.UNIMPLEMENTED]
    server.faults["ListDomains"] = [grpc.StatusCode.PERMISSION_DENIED]
    done = await sealift("status")
    assert done.code == 0
    assert "live        dep_1 main, " in done.out
    assert "instances   none is reported\n" in done.out
    assert "warm        none\n" in done.out
    assert "certificate hello.apps.example: none\n" in done.out
    assert "last hour" not in done.out
    assert "unknown     requests: " in done.out
    assert "unknown     domains: " in done.out
    (found,) = (await sealift("status", "--json")).events
    assert found["requests"] is not None


async def test_what_is_not_live(sealift: Program, server: FakeServer) -> None:
    """Promise: an environment without deployments, one that is stopped, one that is rolled back; unknown names."""
    assert "live        nothing yet; to deploy: sealift deploy\n" in (await sealift("status")).out
    server.environments["production"].is_stopped = True
    server.environments["production"].is_rolled_back = True
    shown = (await sealift("status")).out
    assert "live        nothing: the app is stopped; to start it again: sealift promote\n" in shown
    assert "rolled back new deployments do not go live until: sealift promote\n" in shown
    assert "has no environment 'nope'" in (await sealift("status", "--env", "nope")).err
    assert (await sealift("status", "--project", "nope", "--json")).events[-1]["code"] == "project.not_found"


async def test_a_live_one_that_is_old(sealift: Program, server: FakeServer) -> None:
    """Promise: what is live is shown however many deployments came after it; a failure of before is said to be one."""
    server.scenario = testing_deployment.building_fails
    await sealift("deploy")
    server.scenario = testing_deployment.goes_live
    await sealift("deploy", "--image", "x")
    live = server.deployments["dep_2"].deployment
    live.created_at = int(time.time() * 1000) - 3 * DAY_MS
    live.environment_slug = "elsewhere"  # not in the list
    shown = (await sealift("status")).out
    assert "live        dep_2 main, 3 d ago, x\n" in shown
    assert "before what is live; building: " in shown
    assert json.loads((await sealift("status", "--json")).out)["live"]["deployment_id"] == "dep_2"
