"""Promise: a start ends the supervisor's own upgrade drain and no other, and a failed drain says why."""

import os
from pathlib import Path

import pytest

from svc.standalone import drain_api, testing
from svc.standalone.__main__ import main
from svc.standalone.api_client import supervisor_client
from svc.standalone.drain import undo
from svc.standalone.drain_api import Reason
from svc.standalone.errors import StartupError
from svc.standalone.process import identify, write_pidfile
from svc.standalone.secrets import ensure_secrets
from svc.standalone.statedir import StateDir
from svc.standalone.testing import Drains, drain

OWN = drain("drain_own", "UPGRADE", "supervisor")
OPERATORS = drain("drain_op", "OPERATOR", "admin")
OTHERS = drain("drain_ci", "UPGRADE", "ci")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """Of a stack that is said to run: this process is its supervisor."""
    made = StateDir(tmp_path / "s")
    made.prepare()
    ensure_secrets(made.secrets)
    me = identify(os.getpid())
    assert me
    write_pidfile(made.pidfile("supervisor"), me)
    return made


async def test_a_start_ends_its_own_drain_only(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the api refuses at first; an operator's and another client's stay, and are reported."""
    monkeypatch.setattr(drain_api, "RETRY_S", 0.01)
    known = Drains(OWN, OPERATORS, OTHERS)
    known.refusals = [(503, {"code": "unavailable", "message": "locked"})] * 2
    async with testing.api(known) as address:
        ended, active = await drain_api.end_own(supervisor_client(state, address))
        assert [one.drain_id for one in ended] == ["drain_own"]
        assert [one.drain_id for one in active] == ["drain_op", "drain_ci"]
        assert set(known.active) == {"drain_op", "drain_ci"}
        assert await drain_api.end_own(supervisor_client(state, address)) == ([], active)


async def test_undo_ends_what_is_named(state: StateDir) -> None:
    """Without an id: what this machine began for the reason. What is still active is said with the way to end it."""
    known = Drains(OWN, OPERATORS, OTHERS)
    said: list[str] = []
    async with testing.api(known) as address:
        testing.endpoints(state, address).write(state)
        await undo(state, said.append, reason=Reason.UPGRADE)
        assert set(known.active) == {"drain_op", "drain_ci"}
        assert "drain --undo --id drain_op" in said[0]
        await undo(state, said.append, reason=Reason.OPERATOR)
        assert set(known.active) == {"drain_ci"}
        await undo(state, said.append, reason=Reason.UPGRADE, drain_id="drain_ci")
    assert known.active == {}
    assert said[-1] == "No drain is active: queued deploys start now."


async def test_a_drain_may_wait_for_any_amount_of_work(state: StateDir) -> None:
    """The api takes a thousand ids a call: more are requested in several, else the drain would never get quiet."""
    known = Drains(OWN)
    work = [f"dep_{n}" for n in range(2500)]
    async with testing.api(known) as address:
        status = await drain_api.read_status(supervisor_client(state, address), work)
    asked = [request["workIds"] for _, request in known.calls]
    assert [len(some) for some in asked] == [1000, 1000, 500]
    assert [one.id for one in status.ended] == work
    assert (status.is_quiet, [one.drain_id for one in status.drains]) == (True, ["drain_own"])


async def test_an_api_that_is_away_is_said(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound, with what to look at; one that is being started is waited for."""
    monkeypatch.setattr(drain_api, "AWAY_FOR_S", 0.1)
    api = drain_api.client(state, testing.endpoints(state, "127.0.0.1:1"), Reason.UPGRADE)
    with pytest.raises(StartupError, match=r"does not answer at 127\.0\.0\.1:1.*`status` shows"):
        await drain_api.begin(api, Reason.UPGRADE)


async def test_code_of_before_is_said(state: StateDir) -> None:
    """Code that is newer than the stack which runs can't drain it, and says so instead of waiting."""
    known = Drains()
    known.refusals = [(404, {"code": "unimplemented", "message": "the api that runs has no BeginDrain"})]
    async with testing.api(known) as address:
        api = drain_api.client(state, testing.endpoints(state, address), Reason.UPGRADE)
        with pytest.raises(StartupError, match="older than this code"):
            await drain_api.begin(api, Reason.UPGRADE)
        api.key_file.unlink()
        with pytest.raises(StartupError, match=r"supervisor\.key is missing"):
            await drain_api.begin(api, Reason.UPGRADE)


def test_a_drain_needs_a_stack_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is under way can't end without one; nothing is made in a directory that has none."""
    for words in (["drain"], ["drain", "--undo"], ["drain", "--reason", "operator"]):
        assert main([*words, "--state-dir", str(tmp_path / "s")]) == 1
        assert "No supervisor runs" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
