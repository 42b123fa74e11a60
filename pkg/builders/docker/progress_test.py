"""A BuildKit that does not begin a build hangs only if no step of another build moves; then it is reported."""

from pathlib import Path

from pkg.builders.docker.progress import Progress
from pkg.buildkit import NotBegunError
from pkg.builds import hang_report
from pkg.builds.failures import FailureKind


def not_begun(waited_s: float) -> NotBegunError:
    return NotBegunError(FailureKind.BUILDER_LOST, "restart the engine", waited_s=waited_s)


def test_a_hang_is_reported(tmp_path: Path) -> None:
    """The report names the build, and is taken once; who can't be told leaves the operator's words."""
    path = tmp_path / "hangs.json"
    assert "The engine is restarted" in Progress(path).explain(not_begun(60), "bld_a")
    report = hang_report.take(path)
    assert report is not None
    assert (report.build_id, report.waited_s) == ("bld_a", 60)
    assert hang_report.take(path) is None
    assert Progress(None).explain(not_begun(60), "bld_a") == "restart the engine"
    assert Progress(tmp_path / "gone" / "x").explain(not_begun(60), "bld_a") == "restart the engine"


def test_a_slow_one_is_not(tmp_path: Path) -> None:
    """A step of another build that began or ended meanwhile shows that the scheduler works."""
    progress = Progress(tmp_path / "hangs.json")
    progress.moved()
    assert "is slow" in progress.explain(not_begun(60), "bld_a")
    assert hang_report.take(tmp_path / "hangs.json") is None
