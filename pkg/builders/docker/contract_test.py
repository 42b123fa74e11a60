"""The Docker builder passes the tests of every builder, on a real engine."""

from pathlib import Path

import pytest

from pkg.builders.contract import BuilderContract
from pkg.builders.docker.config import DockerConfig
from pkg.builders.port import Builder
from pkg.builders.testing import engine_socket
from pkg.builds.failures import BuilderUnavailable


@pytest.fixture
def builder() -> Builder:
    return DockerConfig(engine_socket=engine_socket()).open()


class TestDockerBuilder(BuilderContract):
    """All of the contract."""


async def test_an_engine_that_is_away_is_named(tmp_path: Path) -> None:
    """Promise: the check says where the engine was looked for."""
    with pytest.raises(BuilderUnavailable, match=rf"build\.builder_lost.*{tmp_path}/no\.sock"):
        await DockerConfig(engine_socket=tmp_path / "no.sock").open().check()
