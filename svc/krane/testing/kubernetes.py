"""A region on a cluster for tests: its runtime, and specs that run on fake and on real nodes."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
from lightkube.config.kubeconfig import KubeConfig, SingleConfig

from pkg.ids import new_id
from pkg.images.config import Images
from pkg.testing.kubernetes.control_plane import ControlPlane
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.objects import PodRules, Traffic
from svc.krane.runtime.kubernetes.runtime import KubernetesRuntime
from svc.krane.runtime.port import DeploymentSpec

FAKE_IMAGE = "sealift-test/app:1"
ALLOWED = Images(allow_local=("sealift-test/*",))  # no registry is asked about them
TRAFFIC = Traffic(ingress_ranges=("10.1.2.3/32",))


def login(kubeconfig: Path) -> SingleConfig:
    """The one login of a kubeconfig."""
    found = KubeConfig.from_dict(json.loads(kubeconfig.read_text()), fname=kubeconfig).get()
    assert found is not None
    return found


R = TypeVar("R", bound="KubernetesRig")


@dataclass
class KubernetesRig:
    """See `RuntimeRig`."""

    plane: ControlPlane
    image: str = FAKE_IMAGE
    command: tuple[str, ...] = ()
    installation_id: str = field(default_factory=lambda: new_id("inst"))
    rules: PodRules = field(default_factory=PodRules)
    made: list[KubernetesRuntime] = field(default_factory=list)

    @property
    def runtime(self) -> KubernetesRuntime:
        """The first one."""
        return self.made[0]

    @property
    def identity(self) -> Identity:
        """Whose objects there are."""
        return Identity(self.installation_id, "local")

    @property
    def namespace(self) -> str:
        """Where the instances of `spec` are."""
        return self.identity.namespace("ws_1")

    def make(
        self,
        installation_id: str = "",
        *,
        kubeconfig: Path | None = None,
        is_leader: Callable[[], bool] = lambda: True,
    ) -> KubernetesRuntime:
        """See `RuntimeRig`."""
        identity = Identity(installation_id or self.installation_id, "local")
        config = login(kubeconfig or self.plane.kubeconfig)
        made = KubernetesRuntime(
            config, identity, rules=self.rules, traffic=TRAFFIC, allowed=ALLOWED, is_leader=is_leader
        )
        self.made.append(made)
        return made

    def spec(self) -> DeploymentSpec:
        """See `RuntimeRig`."""
        return DeploymentSpec(
            new_id("dep"), "ws_1", "proj_1", "env_1", 1, self.image, 100, 64, 8080, command=self.command
        )

    async def stop_by_hand(self, name: str) -> None:
        """See `RuntimeRig`. Only the app's own way out is open to an operator of a cluster: the kubelet restarts it."""
        pod = self.plane.get("pod", name, "-n", self.namespace)
        async with aiohttp.ClientSession() as session:
            with contextlib.suppress(aiohttp.ClientError):
                await session.get(f"http://{pod['status']['podIP']}:8080/exit/137")

    async def remove_by_hand(self, name: str) -> None:
        """See `RuntimeRig`."""
        self.plane.kubectl("delete", "pod", name, "-n", self.namespace, "--grace-period=1")

    async def close(self) -> None:
        """Ends all runtimes, and what they made."""
        for runtime in self.made:
            await runtime.close()
        self.plane.kubectl("delete", "namespace", "-l", self.identity.selector, "--wait=false", "--ignore-not-found")


@contextlib.asynccontextmanager
async def opened(rig: R) -> AsyncIterator[R]:
    """The rig with its first runtime made and open, until the block ends."""
    try:
        await rig.make().open()
        yield rig
    finally:
        await rig.close()
