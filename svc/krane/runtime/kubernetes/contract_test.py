"""`KubernetesRuntime` keeps the contract of the port, on a real control plane whose node plays Pods."""

from collections.abc import AsyncIterator

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane
from svc.krane.runtime.contract import RuntimeContract
from svc.krane.testing.kubernetes import KubernetesRig, opened


class TestKubernetesRuntime(RuntimeContract):
    """The contract, on the tests' control plane."""

    @pytest.fixture
    async def rig(self, kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
        async with opened(KubernetesRig(kubernetes_plane)) as rig:
            yield rig
