"""Commands about a deployment that is not named: the obvious one, shown, confirmed, or a list to choose from."""

import re

from sealift.cli.conftest import Eventually, Program
from sealift.cli.exit_codes import ExitCode
from sealift.client import testing_deployment
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import deployment_pb2


async def test_promote_takes_the_newest(sealift: Program, server: FakeServer) -> None:
    """Promise: promote selects the newest ready deployment, never one older than the live one."""
    await sealift("deploy")
    nothing = await sealift("promote", "--yes")
    assert nothing.code == ExitCode.FAILED
    assert "no ready deployment in hello · production is newer than the live dep_1" in nothing.err
    await sealift("deploy")
    await sealift("rollback")
    asked = await sealift("promote")
    assert (asked.code, asked.out) == (ExitCode.USAGE, "")
    said = (
        r"would make dep_2 \(main, \d+ s old\) live in hello · production; "
        "there is no terminal to confirm it on: add --yes"
    )
    assert re.search(said, asked.err)
    done = await sealift("promote", "-y")
    assert done.code == 0
    assert "promote done in 42 ms: dep_2 is live" in done.err


async def test_cancel_takes_the_only_one(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: cancel selects the only unfinished deployment; if there are two, both are listed."""
    assert "no deployment is unfinished" in (await sealift("cancel", "--yes")).err
    server.scenario = testing_deployment.waits_for_cancel
    await sealift("deploy", "--detach")
    await sealift("deploy", "--detach", "--branch", "b")
    both = await sealift("cancel", "--yes")
    assert both.code == ExitCode.USAGE
    assert "2 deployments are unfinished in hello · production; name one:\n  dep_2 (b, " in both.err
    await sealift("cancel", "dep_1")
    await eventually(lambda: bool(server.deployments["dep_1"].deployment.ended_at))
    done = await sealift("cancel", "--yes", "--json")
    assert (done.code, done.events[-1]["deployment_id"]) == (0, "dep_2")


async def test_stop_takes_the_only_one(sealift: Program, server: FakeServer) -> None:
    """Promise: stop selects the running deployment that is not live, never the live one."""
    await sealift("deploy")
    assert "no deployment is running and not live" in (await sealift("stop", "--yes")).err
    await sealift("deploy")
    server.deployments["dep_1"].deployment.run_state = deployment_pb2.RUN_STATE_STANDBY
    done = await sealift("stop", "--yes")
    assert (done.code, done.out) == (0, "dep_1\n")
    assert "stop done in 42 ms: dep_1 is stopped" in done.err


async def test_an_app_is_taken_down(sealift: Program, server: FakeServer) -> None:
    """Promise: a take-down is confirmed, and shows its effect and how to restore the app, which needs no id."""
    await sealift("deploy")
    url = server.deployments["dep_1"].deployment.urls[0]
    asked = await sealift("stop", "--live")
    assert asked.code == ExitCode.USAGE
    assert "would take down hello · production: stop the live dep_1 (main, " in asked.err
    assert f"; visitors of {url} are told that it is stopped; there is no terminal to confirm it on" in asked.err
    assert server.deployments["dep_1"].deployment.is_live
    assert "dep_9 is not live" in (await sealift("stop", "dep_9", "--live", "--yes")).err
    done = await sealift("stop", "--live", "--yes")
    assert (done.code, done.out) == (0, "dep_1\n")
    assert "take-down done in 42 ms: dep_1 is stopped\n" in done.err
    assert "  sealift promote dep_1\n" in done.err
    assert "no deployment is live in hello · production" in (await sealift("stop", "--live", "--yes")).err
    back = await sealift("promote", "--yes", "--json")
    assert (back.events[-1]["kind"], back.events[-1]["status"]) == ("promote", "done")
