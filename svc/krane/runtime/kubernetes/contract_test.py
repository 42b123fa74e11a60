"""`KubernetesRuntime` keeps the contract of the port, on a real control plane whose node plays Pods."""

from collections.abc import AsyncIterator

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.runtime.contract import RuntimeContract
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


class TestKubernetesRuntime(RuntimeContract):
    """The contract, on the tests' control plane."""

    @pytest.fixture
    async def rig(self, kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
        async with opened(KubernetesRig(kubernetes_plane)) as rig:
            yield rig
