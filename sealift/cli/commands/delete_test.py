"""`sealift delete` as a process."""

import asyncio
import signal

import grpc

from sealift.cli.conftest import BOUND_S, Eventually, Program
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import deletion_pb2


async def test_a_project_is_deleted_step_by_step(sealift: Program, server: FakeServer) -> None:
    """Promise: what goes is said first, then each step and what it waits for, once; stdout is the deletion's id."""
    wait = {"step": "routes", "waits_for": "region local has not confirmed"}
    server.deletion_states = [{"step": "work"}, wait, wait, {"step": "records", "waits_for": ""}]
    done = await sealift("delete", "project", "hello", "--yes")
    assert (done.code, done.out) == (0, "del_1\n")
    assert done.err.splitlines() == [
        "delete the project hello with its environments production, preview",
        "del_1 deletes project hello",
        "ending what is under way …",
        "removing the routes …",
        "waits for: region local has not confirmed",
        "to go on without it, repeat the command with --skip-regions",
        "erasing the records …",
        "project hello is deleted, in 1.5 s",
    ]


async def test_json_ends_with_the_result(sealift: Program, server: FakeServer) -> None:
    """Promise: one object says how it ended, and what was left."""
    server.deletion_end |= {"notices": ["region eu was away"]}
    done = await sealift("delete", "environment", "preview", "--yes", "--skip-regions", "--json")
    (result,) = done.events
    assert (done.code, result["event"], result["kind"], result["status"]) == (0, "result", "environment", "done")
    assert (result["environment_id"], result["notices"]) == ("env_preview", ["region eu was away"])
    assert [request.skip_regions for request in server.delete_requests] == [True]


async def test_without_a_terminal_it_wants_yes(sealift: Program, server: FakeServer) -> None:
    """Promise: nothing is deleted that nobody confirmed."""
    refused = await sealift("delete", "project", "hello")
    assert refused.code == 2
    assert "there is no terminal to confirm it on: add --yes" in refused.err
    assert server.delete_requests == []
    unknown = await sealift("delete", "project", "helo", "--yes")
    assert unknown.code == 1
    assert "did you mean 'hello'?" in unknown.err


async def at_a_terminal(sealift: Program, typed: str) -> tuple[int, str]:
    """Exit code and output of a deletion whose name is typed so."""
    async with sealift.at_terminal("delete", "project", "hello") as terminal:
        await terminal.until(b"Type hello to go on")
        terminal.type(f"{typed}\n".encode())
        return await terminal.end(), terminal.text


async def test_at_a_terminal_the_name_is_typed(sealift: Program, server: FakeServer) -> None:
    """Promise: another text than the name deletes nothing."""
    code, shown = await at_a_terminal(sealift, "yes")
    assert code == 2
    assert "'yes' is not 'hello': nothing was done" in shown
    assert server.delete_requests == []
    code, _ = await at_a_terminal(sealift, "hello")
    assert code == 0
    assert len(server.delete_requests) == 1


async def test_a_live_deployment_wants_force(sealift: Program, server: FakeServer) -> None:
    """Promise: the server's refusal is told as it is; --force is handed on."""
    assert (await sealift("deploy")).code == 0
    server.delete_refusal = ("deployment.routed", "Deployment dep_1 is live: add --force")
    refused = await sealift("delete", "deployment", "dep_1", "--yes")
    assert refused.code == 1
    assert "which is live at" in refused.err
    assert "add --force [deployment.routed" in refused.err
    server.delete_refusal = None
    assert (await sealift("delete", "deployment", "dep_1", "--yes", "--force")).code == 0
    assert [request.force for request in server.delete_requests] == [True]


async def test_a_failed_deletion(sealift: Program, server: FakeServer) -> None:
    """Promise: its reason is told, and the exit code says so."""
    server.deletion_end = {"status": deletion_pb2.DELETION_STATUS_FAILED, "ended_at": 2500}
    server.deletion_end["error"] = {"code": "internal.workflow_lost", "message": "delete again"}
    done = await sealift("delete", "project", "hello", "--yes")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "the deletion failed: delete again [internal.workflow_lost]"


async def test_the_waiting_may_end_before_the_deletion(
    sealift: Program, server: FakeServer, eventually: Eventually
) -> None:
    """Promise: after a timeout, an interrupt or --no-wait it goes on at the server, and the user knows its id."""
    server.deletion_end = {"step": "instances", "waits_for": "region eu"}
    late = await sealift("delete", "project", "hello", "--yes", "--wait-timeout", "1")
    assert late.code == 5
    assert "del_1 continues; it is ending the instances: region eu" in late.err
    before = server.calls["WatchDeletion"]
    process = await sealift.start("delete", "project", "hello", "--yes")
    await eventually(lambda: server.calls["WatchDeletion"] > before)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert process.returncode == 130
    assert "interrupted; del_2 continues" in err.decode()
    at_once = await sealift("delete", "project", "hello", "--yes", "--no-wait")
    assert (at_once.code, at_once.out) == (0, "del_3\n")


async def test_a_lost_connection_is_not_a_failed_deletion(sealift: Program, server: FakeServer) -> None:
    """Promise: the call is repeated, which is harmless, and the stream is resumed."""
    server.faults["DeleteProject"] = [grpc.StatusCode.UNAVAILABLE]
    server.faults["WatchDeletion"] = [grpc.StatusCode.UNAVAILABLE]
    assert (await sealift("delete", "project", "hello", "--yes")).code == 0
