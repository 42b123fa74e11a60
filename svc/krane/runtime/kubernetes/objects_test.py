"""What the objects of deployments and namespaces look like."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.core.resource import Resource

from pkg.config import Secret
from pkg.images.config import RegistryLogin
from svc.krane.runtime.kubernetes import objects
from svc.krane.runtime.kubernetes.identity import ANNOTATION_APPLIED, Identity
from svc.krane.runtime.kubernetes.objects import PodRules, Traffic
from svc.krane.runtime.port import DeploymentSpec, instance_name

OWN = Identity("inst_1", "local")
OWNER = objects.owner_reference("dep-1", "uid-1")
IMAGE = "registry.example.com/apps/a@sha256:" + "1" * 64
SPEC = DeploymentSpec(
    "dep_1", "ws_1", "proj_1", "env_1", 2, IMAGE, 1000, 64, 3000, ("serve", "$HOME", "$(PORT)"), {"A": "b$(c)"},
    "https://a.example.com", 100,
)  # fmt: skip
LOGIN = RegistryLogin(host="registry.example.com", username="puller", password=Secret("hunter2"))
HUB = RegistryLogin(host="docker.io", username="me", password=Secret("x"))
TRAFFIC = Traffic("sealift", (("app", "krane"),), ("10.1.2.3",), ("10.0.0.1/32",))


def data(made: Resource) -> Any:
    return made.to_dict()  # type: ignore[attr-defined]


def workload(spec: DeploymentSpec = SPEC, rules: PodRules = PodRules(), **changes: Any) -> Any:  # noqa: B008
    known = {"replicas": 2, "has_logins": False, "is_non_root": False, "image": IMAGE, **changes}
    return data(objects.stateful_set(spec, OWN, rules, known.pop("image"), known.pop("replicas"), **known))


def container(**changes: Any) -> Any:
    return workload(**changes)["spec"]["template"]["spec"]["containers"][0]


def test_every_field_is_one_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a field with a typing error is found here: the models of the API would drop it silently."""
    made: list[str] = []

    def checked(kind: Any, raw: Any) -> Any:
        assert kind.from_dict(raw).to_dict() == raw
        made.append(kind.__name__)
        return kind.from_dict(raw)

    monkeypatch.setattr(objects, "_made", checked)
    objects.namespace("ws_1", OWN, PodRules())
    objects.network_policy("ws_1", OWN, TRAFFIC)
    objects.registry_logins("ws_1", OWN, [LOGIN, HUB])
    objects.variables(SPEC, OWN, OWNER)
    objects.headless_service(SPEC, OWN, OWNER)
    objects.disruption_budget(SPEC, OWN, OWNER, "v1")
    for rules in (PodRules(), PodRules("restricted", True, "gvisor", 1)):
        for spec in (SPEC, replace(SPEC, command=(), disk_mib=0, public_url="")):
            objects.stateful_set(spec, OWN, rules, IMAGE, 1, has_logins=True, is_non_root=True)
    assert len(set(made)) == 6
    assert len(made) == 10


def test_an_unhealthy_instance_holds_up_no_drain() -> None:
    """Promise: where the server knows the field: a crashing app would else keep its node from being drained."""
    newer, older = (data(objects.disruption_budget(SPEC, OWN, OWNER, version))["spec"] for version in ("v1", "v1beta1"))
    assert newer.pop("unhealthyPodEvictionPolicy") == "AlwaysAllow"
    assert newer == older


def test_pods_are_called_as_instances_and_replaced_by_krane_alone() -> None:
    """Promise: a replica has its number for ever, all start at once, and a changed template touches none that runs."""
    made = workload()
    assert f"{made['metadata']['name']}-1" == instance_name("dep_1", 1)
    assert made["spec"]["podManagementPolicy"] == "Parallel"
    assert made["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert made["spec"]["replicas"] == 2
    assert "replicas" not in workload(replicas=None)["spec"]  # somebody else's field


def test_a_pod_may_little() -> None:
    """Promise: no privilege escalation, no account of the cluster, few capabilities, the default seccomp profile."""
    pod = workload()["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]
    assert "runAsNonRoot" not in security
    assert "readOnlyRootFilesystem" not in security
    assert not any(key in pod for key in ("hostNetwork", "hostPID", "hostIPC", "runtimeClassName", "imagePullSecrets"))
    assert container(is_non_root=True)["securityContext"]["runAsNonRoot"] is True


def test_what_the_operator_may_ask_for() -> None:
    """Promise: "restricted" leaves no capability and no root; a read-only root keeps /tmp; a RuntimeClass is passed."""
    made = workload(rules=PodRules("restricted", True, "gvisor"), has_logins=True)["spec"]["template"]["spec"]
    security = made["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert (security["runAsNonRoot"], security["readOnlyRootFilesystem"]) == (True, True)
    assert made["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert made["volumes"][0]["name"] == "tmp"
    assert made["runtimeClassName"] == "gvisor"
    assert made["imagePullSecrets"] == [{"name": "sealift-registries"}]
    assert data(objects.namespace("ws_1", OWN, PodRules("restricted")))["metadata"]["labels"][
        "pod-security.kubernetes.io/enforce"
    ] == "restricted"  # fmt: skip


def test_variables_are_in_a_secret_of_their_revision() -> None:
    """Promise: no value of a variable is in the Pod's template; another value is another Secret."""
    made = data(objects.variables(SPEC, OWN, OWNER))
    assert base64.b64decode(made["data"]["A"]) == b"b$(c)"
    assert made["immutable"] is True
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert container()["envFrom"] == [{"secretRef": {"name": made["metadata"]["name"]}}]
    assert "b$(c)" not in json.dumps(workload())
    other = data(objects.variables(replace(SPEC, variables={"A": "c"}), OWN, OWNER))
    assert other["metadata"]["name"] != made["metadata"]["name"]


@given(st.text(alphabet="$(){}AB x", max_size=20))
def test_commands_arrive_as_they_were_written(text: str) -> None:
    """Promise: what looks like a variable of Kubernetes in a command or an address is none."""
    assert expanded(objects.literal(text), {"A": "1", "B": "2"}) == text


def expanded(text: str, variables: dict[str, str]) -> str:
    """As third_party/forked/golang/expansion of Kubernetes does it."""
    out, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out, at = out + text[at], at + 1
        elif text[at + 1] == "$":
            out, at = out + "$", at + 2
        elif text[at + 1] == "(" and (end := text.find(")", at)) > 0:
            name = text[at + 2 : end]
            out, at = out + variables.get(name, f"$({name})"), end + 1
        else:
            out, at = out + text[at : at + 2], at + 2
    return out


def test_resources() -> None:
    """Promise: memory is reserved as a whole, CPU in part, disk not at all; the limits are the spec's."""
    resources = container()["resources"]
    assert resources["limits"] == {"cpu": "1000m", "memory": "64Mi", "ephemeral-storage": "100Mi"}
    assert resources["requests"] == {"cpu": "250m", "memory": "64Mi", "ephemeral-storage": "0"}
    assert "ephemeral-storage" not in container(spec=replace(SPEC, disk_mib=0))["resources"]["limits"]
    assert container(spec=replace(SPEC, cpu_millicores=5))["resources"]["requests"]["cpu"] == "5m"


def test_images_are_pulled_when_absent() -> None:
    """Promise: a digest is the registry's wherever it is; a user's tag is asked for again."""
    assert container()["imagePullPolicy"] == "IfNotPresent"
    assert container(image="a:1")["imagePullPolicy"] == "IfNotPresent"
    assert container(image="a:1", spec=replace(SPEC, must_pull=True))["imagePullPolicy"] == "Always"
    assert container(spec=replace(SPEC, must_pull=True))["imagePullPolicy"] == "IfNotPresent"


def test_only_the_ingress_comes_in() -> None:
    """Promise: only the ingress reaches instances; they reach neither metadata services nor the control plane."""
    policy = data(objects.network_policy("ws_1", OWN, TRAFFIC))["spec"]
    assert policy["podSelector"] == {"matchLabels": OWN.labels()}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (come,) = policy["ingress"]
    assert come["from"][0] == {"ipBlock": {"cidr": "10.1.2.3/32"}}
    assert come["from"][1]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "sealift"}
    excepted = policy["egress"][0]["to"][0]["ipBlock"]["except"]
    assert {"169.254.0.0/16", "10.0.0.1/32"} <= set(excepted)
    assert policy["egress"][0]["to"][1]["ipBlock"]["cidr"] == "::/0"
    nobody = data(objects.network_policy("ws_1", OWN, Traffic()))["spec"]
    assert not nobody.get("ingress")  # none; `from: []` would be everybody
    assert "Ingress" in nobody["policyTypes"]


def test_each_login_is_for_its_registry() -> None:
    """Promise: nodes send a login to the registry that it is for."""
    made = data(objects.registry_logins("ws_1", OWN, [LOGIN, HUB]))
    auths = json.loads(base64.b64decode(made["data"][".dockerconfigjson"]))["auths"]
    assert set(auths) == {"registry.example.com", "https://index.docker.io/v1/"}
    assert base64.b64decode(auths["registry.example.com"]["auth"]) == b"puller:hunter2"


def test_whether_something_changed_is_one_annotation() -> None:
    """Promise: what has to be written is found without a call: by a digest of all but the number of replicas."""

    def applied(**changes: Any) -> str:
        return str(workload(**changes)["metadata"]["annotations"][ANNOTATION_APPLIED])

    assert applied() == applied(replicas=7) == applied(replicas=None)
    assert applied() != applied(spec=replace(SPEC, public_url="https://b.example.com"))
    assert applied() != applied(rules=PodRules(runtime_class="gvisor"))


def test_names_fit() -> None:
    """Promise: the longest prefix and id make a name of a namespace; regions and installations don't share one."""
    whole = Identity("inst_1", "local", "p" * 24)
    assert len(whole.namespace("ws_" + "0" * 26)) <= 63
    one, other = Identity("inst_1", "local").namespace("ws_1"), Identity("inst_1", "eu").namespace("ws_1")
    assert len({one, other, Identity("inst_2", "local").namespace("ws_1")}) == 3


def test_a_process_is_a_stateful_set_of_its_own() -> None:
    """Promise: no selector of web finds Pods of a process, or the other way round; it has no port and no hook."""
    process = replace(SPEC, deployment_id="dep_1.worker", port=0, command=("work",))
    made = workload(process)
    assert made["metadata"]["name"] == "dep-1-worker"
    pod = made["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert (labels["sealift.dev/deployment"], labels["sealift.dev/process"]) == ("dep_1.worker", "worker")
    web = workload()
    for one, other in ((made, web), (web, made)):
        wanted = one["spec"]["selector"]["matchLabels"]
        found = other["spec"]["template"]["metadata"]["labels"]
        assert not wanted.items() <= found.items()
        assert wanted.items() <= one["spec"]["template"]["metadata"]["labels"].items()
    assert "sealift.dev/process" not in web["spec"]["template"]["metadata"]["labels"]
    (app,) = pod["spec"]["containers"]
    assert "ports" not in app
    assert "lifecycle" not in app
    env = {one["name"]: one["value"] for one in app["env"]}
    assert (env["SEALIFT_PROCESS"], env["SEALIFT_DEPLOYMENT_ID"], "PORT" in env) == ("worker", "dep_1", False)
    assert "SEALIFT_PROCESS" not in {one["name"] for one in container()["env"]}
    assert "ports" not in data(objects.headless_service(process, OWN, OWNER))["spec"]
    assert data(objects.variables(process, OWN, OWNER))["metadata"]["name"].startswith("dep-1-worker-")
