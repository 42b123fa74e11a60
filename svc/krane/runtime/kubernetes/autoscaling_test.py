"""Deployments with bounds on a cluster: its own autoscaler chooses the number, krane follows, and says why it can't."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pkg.desired.scaling import ReplicaBounds
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from svc.krane.runtime.contract import eventually, running
from svc.krane.runtime.kubernetes import autoscaling, objects
from svc.krane.runtime.kubernetes.api import KubeApi, ServerVersions, as_data
from svc.krane.runtime.kubernetes.autoscaling import NO_AUTOSCALER, NO_METRICS, Autoscalers, failing
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.objects import PodRules
from svc.krane.runtime.kubernetes.wire import Autoscaler, AutoscalerStatus, Condition, Metadata
from svc.krane.runtime.port import DeploymentSpec, PendingError, WantedReplicas, instance_name
from svc.krane.testing.kubernetes import KubernetesRig, login, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

IDENTITY = Identity("inst_1", "local")
BOUNDS = ReplicaBounds(1, 3, 80)
SPEC = DeploymentSpec("dep_1", "ws_1", "proj_1", "env_1", 1, "x/app:1", 250, 64, 8080, bounds=BOUNDS)
ABSENT = Condition(
    type="ScalingActive",
    status="False",
    reason="FailedGetResourceMetric",
    message="unable to fetch metrics from resource metrics API: the server could not find the requested resource "
    "(get pods.metrics.k8s.io)",
)
NO_ANSWER = Condition(
    type="ScalingActive", status="False", reason="FailedGetResourceMetric", message="no metrics returned\x1b"
)
ACTIVE = Condition(type="ScalingActive", status="True", reason="ValidMetricFound")


@pytest.fixture
async def rig(kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
    async with opened(KubernetesRig(kubernetes_plane)) as rig:
        yield rig


def bounded(rig: KubernetesRig, low: int = 1, high: int = 3) -> DeploymentSpec:
    return replace(rig.spec(), replicas=low, bounds=ReplicaBounds(low, high, 80))


def set_name(spec: DeploymentSpec) -> str:
    return spec.deployment_id.replace("_", "-")


async def scale(rig: KubernetesRig, spec: DeploymentSpec, replicas: int) -> None:
    """Writes the scale subresource, as an autoscaler does."""
    words = ("scale", "statefulset", set_name(spec), "-n", rig.namespace, f"--replicas={replicas}")
    await asyncio.to_thread(rig.plane.kubectl, *words)


async def until_wanted(rig: KubernetesRig, spec: DeploymentSpec, count: int) -> WantedReplicas:
    async def wanted() -> WantedReplicas | None:
        found = await rig.runtime.wanted_replicas(spec)
        return found if found.count == count else None

    return await eventually(wanted)


def test_the_autoscaler_of_both_versions() -> None:
    """Promise: bounds and target are the user's, the target in millicores of the limit, whatever is reserved."""
    for version in ("v2", "v2beta2"):
        owner = objects.owner_reference("dep-1", "uid-1")
        data = as_data(autoscaling.autoscaler(SPEC, IDENTITY, owner, version))
        assert data["apiVersion"] == f"autoscaling/{version}"
        assert data["metadata"]["ownerReferences"] == [owner]
        assert data["spec"] == {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "dep-1"},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "200m"}},
                }
            ],
        }


@pytest.mark.parametrize(
    ("has_sleep_hook", "hook"), [(True, {"sleep": {"seconds": 5}}), (False, {"exec": {"command": ["sleep", "5"]}})]
)
def test_what_others_serve_beside_stops_late(has_sleep_hook: bool, hook: dict[str, object]) -> None:
    """Promise: an app of a deployment with bounds, or with several instances, is signalled after the ingress has let
    go, and has its time then; the only instance is signalled at once."""
    *late, alone = [
        as_data(
            objects.stateful_set(
                replace(SPEC, replicas=replicas), IDENTITY, PodRules(), "x/app:1", None, has_logins=False,
                is_non_root=False, is_autoscaled=is_autoscaled, has_sleep_hook=has_sleep_hook,
            )
        )["spec"]["template"]["spec"]
        for is_autoscaled, replicas in ((True, 1), (False, 2), (False, 1))
    ]  # fmt: skip
    for one in late:
        assert one["containers"][0]["lifecycle"] == {"preStop": hook}
        assert one["terminationGracePeriodSeconds"] == alone["terminationGracePeriodSeconds"] + 5
    assert "lifecycle" not in alone["containers"][0]


@pytest.mark.parametrize(
    ("condition", "fails"),
    [
        (ACTIVE, False),
        (ABSENT, True),
        (Condition(type="ScalingActive", status="False", reason="ScalingDisabled"), False),
        (Condition(type="AbleToScale", status="False", reason="BackoffBoth"), False),
        (Condition(type="AbleToScale", status="False", reason="FailedUpdateScale"), True),
        (Condition(type="ScalingLimited", status="True", reason="TooManyReplicas"), False),
    ],
)
def test_only_what_keeps_it_from_scaling_counts(condition: Condition, fails: bool) -> None:
    """Promise: a wait, a bound that is reached and a deployment without Pods are no faults."""
    assert (failing([condition]) is condition) is fails


async def test_notices(kubernetes_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a cluster without metrics is told at once, any other fault once it has lasted, neither for longer."""
    told: list[str] = []
    api = KubeApi(login(kubernetes_plane.kubeconfig))
    try:
        known = Autoscalers(api, IDENTITY, told.append)
        assert known.notice("dep_1") == NO_AUTOSCALER
        await known.open(ServerVersions("", autoscalers="v2beta2"))
        await known.close()
        labels = {**IDENTITY.labels(), "sealift.dev/deployment": "dep_1"}

        def say(*conditions: Condition) -> str:
            status = AutoscalerStatus(conditions=conditions)
            known._one(Autoscaler(metadata=Metadata(name="dep-1", labels=labels, uid="u"), status=status), False)
            return known.notice("dep_1")

        assert known.notice("dep_1") == NO_METRICS
        assert say() == NO_METRICS, "nothing was tried yet, and the server has no such API"
        assert say(ACTIVE) == ""
        assert say(ABSENT) == NO_METRICS
        assert say(ACTIVE) == ""
        assert told == ["dep_1"] * 3
        assert say(NO_ANSWER) == ""
        monkeypatch.setattr(autoscaling, "FAILS_S", 0.0)
        assert known.notice("dep_1").endswith("says: FailedGetResourceMetric: no metrics returned\\x1b")
        assert say(ACTIVE) == ""
    finally:
        await api.close()


async def test_the_scale_subresource_is_followed(rig: KubernetesRig) -> None:
    """Promise: the number that an autoscaler writes is the wanted one, an event says so, and nothing of krane's work,
    neither another apply nor the removal of an instance, writes it again."""
    spec = bounded(rig)
    await running(rig.runtime, spec)
    events = rig.runtime.events()
    await scale(rig, spec, 3)
    async with asyncio.timeout(KUBERNETES_WAIT_S):
        while (event := await anext(events)).deployment_id != spec.deployment_id or event.name:
            pass
    await until_wanted(rig, spec, 3)
    for replica in (1, 2):
        await running(rig.runtime, spec, replica)
    changed = replace(spec, variables={"A": "1"})
    await rig.runtime.apply(changed, 0, await rig.runtime.observe(spec.deployment_id, 0), is_live=True)
    await until_wanted(rig, changed, 3)
    await rig.runtime.delete(spec.deployment_id, instance_name(spec.deployment_id, 1), grace_s=1)
    assert (await rig.runtime.wanted_replicas(changed)).count == 3
    await scale(rig, spec, 1)
    await until_wanted(rig, changed, 1)
    with pytest.raises(PendingError, match="autoscaler of the cluster has ended it"):
        await rig.runtime.apply(changed, 2, None, is_live=True)
    await rig.runtime.delete(spec.deployment_id, instance_name(spec.deployment_id, 2), grace_s=1)
    assert (await rig.runtime.wanted_replicas(changed)).count == 1


async def test_a_new_version_begins_with_the_number_of_the_live_one(rig: KubernetesRig) -> None:
    """Promise: so many, within its own bounds, from the first Pod on; what was live then does not change it again."""
    live = bounded(rig, 1, 5)
    await running(rig.runtime, live)
    await scale(rig, live, 4)
    await until_wanted(rig, live, 4)
    for bounds, expected in ((ReplicaBounds(1, 5, 80), 4), (ReplicaBounds(1, 3, 80), 3), (ReplicaBounds(5, 6, 80), 5)):
        new = replace(bounded(rig), replicas=bounds.min_replicas, bounds=bounds, replaces=live.deployment_id)
        assert (await rig.runtime.wanted_replicas(new)).count == expected
        await running(rig.runtime, new)
        assert (await rig.runtime.wanted_replicas(new)).count == expected
        found = rig.plane.get("statefulset", set_name(new), "-n", rig.namespace)
        assert found["spec"]["replicas"] == expected
    await scale(rig, live, 1)
    await until_wanted(rig, live, 1)
    assert (await rig.runtime.wanted_replicas(new)).count == expected
    fixed = replace(rig.spec(), replicas=2, replaces=live.deployment_id)
    assert (await rig.runtime.wanted_replicas(fixed)).count == 2


async def test_the_autoscaler_comes_and_goes_with_the_deployment(rig: KubernetesRig) -> None:
    """Promise: it is made with the first instance, again when somebody removed it, and ends with the deployment."""
    spec = bounded(rig, 2, 4)
    for replica in range(2):
        await running(rig.runtime, spec, replica)
    found = rig.plane.get("hpa", set_name(spec), "-n", rig.namespace)
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (2, 4)
    rig.plane.kubectl("delete", "hpa", set_name(spec), "-n", rig.namespace)

    async def is_back() -> bool | None:
        await rig.runtime.apply(spec, 0, await rig.runtime.observe(spec.deployment_id, 0), is_live=True)
        listed = await asyncio.to_thread(rig.plane.get, "hpa", "-n", rig.namespace)
        return bool(listed["items"]) or None

    await eventually(is_back)
    await rig.runtime.delete(spec.deployment_id, instance_name(spec.deployment_id, 0), grace_s=1)

    async def is_gone() -> bool | None:
        listed = await asyncio.to_thread(rig.plane.get, "hpa", "-n", rig.namespace)
        return not listed["items"] or None

    await eventually(is_gone)


async def test_a_cluster_without_metrics_is_told(rig: KubernetesRig) -> None:
    """Promise: the least number runs, and the notice says why, before and after the cluster has tried."""
    spec = bounded(rig)
    assert await rig.runtime.wanted_replicas(spec) == WantedReplicas(1, NO_METRICS, may_exceed=False)
    await running(rig.runtime, spec)

    async def has_tried() -> bool | None:
        found = await asyncio.to_thread(rig.plane.get, "hpa.v2beta2.autoscaling", set_name(spec), "-n", rig.namespace)
        return "conditions" in found.get("status", {}) or None

    await eventually(has_tried)
    assert await rig.runtime.wanted_replicas(spec) == WantedReplicas(1, NO_METRICS, may_exceed=False)
