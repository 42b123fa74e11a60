"""A report of a hung BuildKit restarts the engine, once; what comes too soon or is of before is told, not acted on."""

import logging
import os
from pathlib import Path

import pytest

from pkg.builds import hang_report
from pkg.builds.hang_report import HangReport
from svc.standalone import engine_hangs
from svc.standalone.children import Child
from svc.standalone.engine_hangs import HangWatch, Restarts
from svc.standalone.supervised import SupervisedProcess


def report(at: float) -> HangReport:
    return HangReport(reported_at=at, build_id="bld_a", waited_s=60)


def test_restarts_are_rare() -> None:
    """The first report counts, one within the pause or of before the last restart does not."""
    restarts = Restarts()
    assert restarts.refusal(report(1000), 1001) == ""
    restarts.last_at = 1010
    assert "before the last restart" in restarts.refusal(report(1005), 1020)
    assert "the last restart was 90 s ago" in restarts.refusal(report(1100), 1100)
    late = 1010 + engine_hangs.RESTART_EVERY_S
    assert restarts.refusal(report(late), late) == ""


async def test_a_report_restarts_the_engine_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The process is another one soon after; the second report is told in the log and gone; rubbish is ignored."""
    child = Child(["/bin/sleep", "600"], tmp_path / "log", tmp_path / "pid", tmp_path, os.environ, tmp_path / "tmp")
    process = SupervisedProcess(
        name="engine", pidfile=tmp_path / "pid", launch=child.launch, collect=child.collect, grace_s=5
    )
    process.start()
    path = tmp_path / "engine-hangs.json"
    watch = HangWatch(process, path)
    try:
        before = process.pid
        await watch.look()
        path.write_text("rubbish")
        await watch.look()
        assert (process.pid, path.exists()) == (before, False)
        hang_report.write(path, report(1e12))
        with caplog.at_level(logging.ERROR):
            await watch.look()
            hang_report.write(path, report(2e12))
            await watch.look()
        assert not path.exists()
        assert ["is restarted" in one.message for one in caplog.records] == [True, False]
        assert "the last restart was" in caplog.text
    finally:
        await process.stop()
    assert process.restarts <= 1
