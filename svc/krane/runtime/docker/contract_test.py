"""`DockerRuntime` keeps the contract of the port, on a real engine."""

from collections.abc import AsyncIterator

import pytest

from pkg.ids import new_id
from svc.krane.runtime.contract import RuntimeContract
from svc.krane.testing import engine
from svc.krane.testing.docker_rig import DockerRig


class TestDockerRuntime(RuntimeContract):
    """The contract, on the tests' engine."""

    @pytest.fixture
    async def rig(self) -> AsyncIterator[DockerRig]:
        client = engine.client()
        installation_id = new_id("inst")
        rig = DockerRig(client, engine.python_image(client), installation_id)
        try:
            await rig.make().open()
            yield rig
        finally:
            for runtime in rig.made:
                await runtime.close()
            for one in (installation_id, "inst_other"):
                engine.remove_all(client, one)
            client.close()
