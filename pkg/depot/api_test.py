"""Calls of Depot's API: what they mean, and what users and operators read when they fail."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.config import Secret
from pkg.depot import api as calls
from pkg.depot.api import DepotBuild, RefusedError, open_api
from pkg.depot.testing import DepotDouble, depot_double
from pkg.testing.certificates import Authority
from pkg.testing.wait import WAIT_S

Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_S", 0.01)


async def test_a_build_is_told_how_it_ended(depot: DepotDouble) -> None:
    """Promise: the organisation's token makes projects and builds; the build's own tells the true outcome."""
    async with open_api(depot.config(project_region="eu-central-1", cache_gb=7, cache_days=3)) as api:
        project_id = await api.create_project("sealift-web")
        assert [(p.depot_project_id, p.name) for p in await api.projects()] == [(project_id, "sealift-web")]
        assert depot.projects[project_id].region_id == "eu-central-1"
        for error in ("", "the step 'RUN false' ended with exit code 1", "x" * 5000):
            build = await api.create_build(project_id, "amd64")
            await api.finish_build(build, error)
            assert depot.builds[build.build_id].outcome == (error[:2000] or "success")
            assert build.token not in repr(build)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.UNAUTHENTICATED, FailureKind.BUILDER_AUTH),
        (Code.PERMISSION_DENIED, FailureKind.BUILDER_AUTH),
        (Code.NOT_FOUND, FailureKind.BUILDER_NOT_FOUND),
        (Code.RESOURCE_EXHAUSTED, FailureKind.BUILDER_QUOTA),
        (Code.INVALID_ARGUMENT, FailureKind.UNKNOWN),
        (Code.UNIMPLEMENTED, FailureKind.UNKNOWN),
    ],
)
async def test_what_the_operator_has_to_set_right_is_not_repeated(
    depot: DepotDouble, code: grpc.StatusCode, kind: FailureKind
) -> None:
    """Promise: a refusal has its own code at once, and the message quotes Depot."""
    depot.faults["CreateBuild"] = [code]
    async with open_api(depot.config()) as api:
        with pytest.raises(BuildFailed) as refused:
            await api.create_build("p", "amd64")
    assert (refused.value.kind, refused.value.code) == (kind, f"build.{kind}")
    assert f"CreateBuild: {code.name}: as the test says" in refused.value.message
    assert depot.calls["CreateBuild"] == 1


async def test_depot_away_for_a_moment_costs_no_attempt(depot: DepotDouble) -> None:
    """Promise: UNAVAILABLE is repeated, three calls in all; a project is made by one call only."""
    depot.faults["CreateBuild"] = [Code.UNAVAILABLE] * 2
    depot.faults["CreateProject"] = [Code.UNAVAILABLE]
    async with open_api(depot.config()) as api:
        assert await api.create_build(depot.add_project("p"), "amd64")
        depot.faults["CreateBuild"] = [Code.UNAVAILABLE] * 3
        with pytest.raises(BuilderUnavailable, match=r"build\.builder_lost: Depot at http://127.* does not answer"):
            await api.create_build("p", "amd64")
        with pytest.raises(BuilderUnavailable):
            await api.create_project("p")
    assert (depot.calls["CreateBuild"], depot.calls["CreateProject"]) == (6, 1)


async def test_every_call_has_a_time_limit(depot: DepotDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a Depot that takes calls and never answers makes the builder unavailable, and nothing waits for ever."""
    monkeypatch.setattr(calls, "CALL_TIMEOUT_S", 0.2)
    async with open_api(depot.config()) as api:
        build = await api.create_build(depot.add_project("p"), "amd64")
        waits: list[Any] = [
            api.projects, lambda: api.create_project("p"), lambda: api.create_build("p", "amd64"),
            lambda: api.finish_build(build, ""), lambda: api.release(build), lambda: api.endpoint(build, 0.2),
            lambda: api.report_health(build, every_s=9, count=1, timeout_s=0.2),
        ]  # fmt: skip
        depot.hangs = {
            "ListProjects", "CreateProject", "CreateBuild", "FinishBuild", "ReleaseEndpoint", "GetEndpoint",
        }  # fmt: skip
        for wait in waits:
            with pytest.raises(BuilderUnavailable, match=r"DEADLINE_EXCEEDED|had no machine for the build in time"):
                async with asyncio.timeout(WAIT_S):
                    await wait()


async def test_no_token_is_told(depot: DepotDouble) -> None:
    """Promise: what Depot says may quote a token; no error does."""
    wrong = "organisation-" + "0123456789abcdef" * 2
    async with open_api(depot.config(access_token=Secret(wrong))) as api:
        with pytest.raises(BuildFailed, match=r"build\.builder_auth.*access_token") as refused:
            await api.projects()
    assert wrong not in str(refused.value)
    async with open_api(depot.config()) as api:
        build = await api.create_build(depot.add_project("p"), "amd64")
        stolen = DepotBuild(build.build_id, depot.token, "amd64")
        with pytest.raises(BuilderUnavailable, match="not the token of build") as lost:
            await api.release(stolen)
        assert depot.token not in str(lost.value)
        other = DepotBuild(build.build_id, "build-" + "f" * 32, "amd64")
        with pytest.raises(BuilderUnavailable) as lost:
            await api.endpoint(other, 5)
        with pytest.raises(RefusedError) as ended:
            await api.report_health(other, every_s=1, count=1, timeout_s=5)
        assert other.token not in f"{lost.value}{ended.value}"


async def test_a_build_that_is_over_makes_the_builder_unavailable(depot: DepotDouble) -> None:
    """Promise: what Depot has ended leads to another attempt, which begins another build."""
    async with open_api(depot.config()) as api:
        build = await api.create_build(depot.add_project("p"), "arm64")
        await api.finish_build(build, "")
        for wait in (api.endpoint(build, 5), api.release(build), api.finish_build(build, "late")):
            with pytest.raises(BuilderUnavailable, match="does not take calls of this build any more"):
                await wait
    assert depot.last.outcome == "success"


async def test_a_server_that_is_not_depot_is_named(depot: DepotDouble) -> None:
    """Promise: where nothing listens, the message says which address was called."""
    async with open_api(depot.config(api_url="http://127.0.0.1:9")) as api:
        with pytest.raises(BuilderUnavailable, match=r"Depot at http://127\.0\.0\.1:9 does not answer"):
            await api.projects()


async def test_the_token_goes_to_a_server_with_a_trusted_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: https proves the server, with the authorities of SSL_CERT_FILE where that is set."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "garbage.pem"))
    async with depot_double(authority=authority) as double:
        async with open_api(double.config()) as api:
            with pytest.raises(BuilderUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await api.projects()
        assert not double.calls
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with open_api(double.config()) as api:
            assert await api.projects() == []
