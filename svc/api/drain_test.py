"""`build.api.drain` where no supervisor runs: quiet, not quiet in time, undone; every call may be repeated."""

import asyncio
from pathlib import Path

import pytest

from sealift.ctrl.v1 import ctrl_pb2 as pb
from svc.api.conftest import Deploy
from svc.api.drain import main
from svc.api.testing import RunningApi


async def run(api: RunningApi, *words: str) -> int:
    keys = [str(key.file) for key in api.config.bootstrap_keys if key.role == "admin"]
    given = ["--url", api.http, "--key-file", keys[0], *words]
    return await asyncio.to_thread(main, given)


async def active(api: RunningApi) -> list[str]:
    status = await api.admin.ctrl.GetDrainStatus(pb.GetDrainStatusRequest())
    return [drain.drain_id for drain in status.drains]


async def test_it_gets_quiet_and_is_undone(api: RunningApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: with nothing under way it is quiet at once; the drain goes on until it is undone. Both repeat."""
    for _ in range(2):
        assert await run(api) == 0
        assert len(await active(api)) == 1
    assert "Quiet. Drain drain_" in capsys.readouterr().out
    for _ in range(2):
        assert await run(api, "--undo") == 0
        assert await active(api) == []


async def test_work_under_way_is_waited_for(
    api: RunningApi, deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise: it says what it waits for; when the time is over, the drain is ended and nothing was cancelled."""
    made = await deploy()
    assert await run(api, "--timeout-s", "1") == 1
    said = capsys.readouterr()
    assert made.deployment_id in said.out
    assert "not quiet after 1 s: the drain was ended" in said.err
    assert await active(api) == []


async def test_what_is_wrong_is_told(api: RunningApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: a missing key, a refused key and a URL that is none are named."""
    assert await asyncio.to_thread(main, ["--url", api.http, "--key-file", str(tmp_path / "none")]) == 1
    assert "cannot read the secret file" in capsys.readouterr().err
    wrong = tmp_path / "key"
    wrong.write_text("slk_" + "a" * 40)
    wrong.chmod(0o600)
    assert await asyncio.to_thread(main, ["--url", api.http, "--key-file", str(wrong)]) == 1
    assert "the api refuses BeginDrain: HTTP 401" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--url", "sealift-api:7401", "--key-file", str(wrong)])
