import pytest

from pkg.builds.failures import BuilderUnavailable, FailureKind
from svc.worker.start_checks import report_what_does_not_work
from svc.worker.testing.harness import WorkerHarness
from svc.worker.testing.region import FakeRegion


async def test_what_does_not_work_is_told_at_the_start(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise: an account that a registry refuses, and regions that can't run what is built, are logged at once."""
    await report_what_does_not_work(harness.deps)
    assert caplog.messages == []

    async def check() -> None:
        raise BuilderUnavailable(FailureKind.PUSH_UNAUTHORIZED, "Check username and password in [registry].")

    monkeypatch.setattr(harness.builder, "check", check)
    await FakeRegion(harness.deps.db, harness.deps.restate, "second").register()
    await report_what_does_not_work(harness.deps)
    assert any("the builder does not work: Check username and password" in told for told in caplog.messages)
    assert any("2 regions are registered (local, second). Set [registry] url" in told for told in caplog.messages)
