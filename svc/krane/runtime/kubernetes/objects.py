"""What the objects of a deployment and of a workspace's namespace look like. Pure.

Each is made as plain data and converted to lightkube's model, which refuses a wrong type; the tests compare the way
back, which shows a field that the model does not know.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from lightkube.core.resource import Resource
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import Namespace, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.resources.policy_v1 import PodDisruptionBudget

from pkg.images.config import RegistryLogin
from pkg.images.ref import DOCKER_HUB
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.port import DeploymentSpec

CONTAINER = "app"
STOP_GRACE_S = 10  # of a Pod that others than krane end: a drain of its node, for one
STOP_DELAY_S = 5  # of a Pod beside which others serve
LOST_NODE_S = 60  # after that a Pod of a node that is gone is deleted; krane then sees to it that it is replaced
LOGINS = "sealift-registries"
POLICY = "sealift-apps"
# Ordinary images start as root, chown their data, drop to a service user and bind port 80. All are allowed by the
# level "baseline" of Pod security.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "NET_BIND_SERVICE", "KILL")
METADATA_RANGES = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")
MIN_CPU_MILLICORES = 10
PDB_KINDS: Mapping[str, type[Any]] = {
    "v1": PodDisruptionBudget,
    "v1beta1": create_namespaced_resource("policy", "v1beta1", "PodDisruptionBudget", "poddisruptionbudgets"),
}


@dataclass(frozen=True)
class PodRules:
    """How the operator wants Pods.

    Attributes:
        security: "baseline" or "restricted", the levels of Kubernetes' Pod security standards.
        is_root_read_only: the container's file system; /tmp can be written.
        runtime_class: e.g. "gvisor"; "": the cluster's default.
        cpu_request_percent: how much of its CPU an instance reserves.
    """

    security: str = "baseline"
    is_root_read_only: bool = False
    runtime_class: str = ""
    cpu_request_percent: int = 25


@dataclass(frozen=True)
class Traffic:
    """Who may reach the instances, and whom they may reach.

    Attributes:
        ingress_namespace: of the Pods that send requests; "" where none of the cluster's does.
        ingress_pod_labels: of these Pods.
        ingress_ranges: of machines outside the cluster that send requests.
        denied_ranges: that instances may not reach: the control plane's, beside those of metadata services.
    """

    ingress_namespace: str = ""
    ingress_pod_labels: tuple[tuple[str, str], ...] = ()
    ingress_ranges: tuple[str, ...] = ()
    denied_ranges: tuple[str, ...] = ()


def labels_of(spec: DeploymentSpec, identity: Identity) -> dict[str, str]:
    """Of everything that belongs to a deployment."""
    return {
        **identity.labels(),
        names.LABEL_WORKSPACE: spec.workspace_id,
        names.LABEL_PROJECT: spec.project_id,
        names.LABEL_ENVIRONMENT: spec.environment_id,
        names.LABEL_DEPLOYMENT: spec.deployment_id,
        **({names.LABEL_PROCESS: spec.process} if spec.process else {}),
    }


def namespace(workspace_id: str, identity: Identity, rules: PodRules) -> Resource:
    """The namespace of a workspace's instances."""
    labels = {
        **identity.labels(),
        names.LABEL_WORKSPACE: workspace_id,
        "pod-security.kubernetes.io/enforce": rules.security,
    }
    name = identity.namespace(workspace_id)
    return _made(Namespace, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def network_policy(workspace_id: str, identity: Identity, traffic: Traffic) -> Resource:
    """Requests come from the ingress alone; instances reach the internet, but neither metadata nor control plane."""
    sources: list[dict[str, Any]] = [{"ipBlock": {"cidr": str(ip_network(one))}} for one in traffic.ingress_ranges]
    if traffic.ingress_namespace:
        namespaces = {"matchLabels": {"kubernetes.io/metadata.name": traffic.ingress_namespace}}
        pods = {"matchLabels": dict(traffic.ingress_pod_labels)}
        sources.append({"namespaceSelector": namespaces, "podSelector": pods})
    denied = (*METADATA_RANGES, *traffic.denied_ranges)
    targets = [{"ipBlock": _all_but(everything, denied)} for everything in ("0.0.0.0/0", "::/0")]
    resolver = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return _made(NetworkPolicy, {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(POLICY, identity.namespace(workspace_id), identity.labels()),
        "spec": {
            "podSelector": {"matchLabels": identity.labels()},
            "policyTypes": ["Ingress", "Egress"],
            # An empty list of peers would mean everybody.
            "ingress": [{"from": sources}] if sources else [],
            "egress": [{"to": targets}, {"to": [resolver], "ports": dns}],
        },
    })  # fmt: skip


def registry_logins(workspace_id: str, identity: Identity, logins: Sequence[RegistryLogin]) -> Resource:
    """The Secret with which nodes pull images; each login is for its own registry."""
    auths = {}
    for login in logins:
        host = "https://index.docker.io/v1/" if login.canonical_host == DOCKER_HUB else login.host
        pair = f"{login.username}:{login.password.reveal()}".encode()
        auths[host] = {"auth": base64.b64encode(pair).decode()}
    content = base64.b64encode(json.dumps({"auths": auths}, sort_keys=True).encode()).decode()
    return _made(Secret, {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(LOGINS, identity.namespace(workspace_id), identity.labels()),
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": content},
    })  # fmt: skip


def variables(spec: DeploymentSpec, identity: Identity, owner: Mapping[str, Any]) -> Resource:
    """The Secret that holds a revision's variables: what it says never changes."""
    name = variables_name(spec.deployment_id, spec.revision)
    metadata = _metadata(name, identity.namespace(spec.workspace_id), labels_of(spec, identity))
    return _made(Secret, {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata | {"ownerReferences": [dict(owner)]},
        "type": "Opaque",
        "immutable": True,
        "data": encoded(spec.variables),
    })  # fmt: skip


def encoded(variables: Mapping[str, str]) -> dict[str, str]:
    """Values as a Secret holds them."""
    return {name: base64.b64encode(value.encode()).decode() for name, value in sorted(variables.items())}


def variables_name(deployment_id: str, revision: str) -> str:
    """Of the Secret with the variables of a revision."""
    return f"{names.set_name(deployment_id)}-{hashlib.sha256(revision.encode()).hexdigest()[:10]}"


def headless_service(spec: DeploymentSpec, identity: Identity, owner: Mapping[str, Any]) -> Resource:
    """What governs the StatefulSet: a name for each Pod. Requests don't go through it."""
    name = names.set_name(spec.deployment_id)
    return _made(Service, {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, identity.namespace(spec.workspace_id), labels_of(spec, identity))
        | {"ownerReferences": [dict(owner)]},
        "spec": {
            "clusterIP": "None",
            "selector": selector(spec, identity),
            **({"ports": [{"name": "http", "port": spec.port, "protocol": "TCP"}]} if spec.port else {}),
        },
    })  # fmt: skip


def disruption_budget(spec: DeploymentSpec, identity: Identity, owner: Mapping[str, Any], api_version: str) -> Resource:
    """A drain of nodes ends one instance at a time, and the next one once krane found its successor healthy.

    An instance that is not healthy holds up no drain, where the server can be told so (from 1.27 on; an older one drops
    the field).
    """
    name = names.set_name(spec.deployment_id)
    unhealthy = {"unhealthyPodEvictionPolicy": "AlwaysAllow"} if api_version == "v1" else {}
    return _made(PDB_KINDS[api_version], {
        "apiVersion": f"policy/{api_version}",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(name, identity.namespace(spec.workspace_id), labels_of(spec, identity))
        | {"ownerReferences": [dict(owner)]},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(spec, identity)}, **unhealthy},
    })  # fmt: skip


def stateful_set(
    spec: DeploymentSpec,
    identity: Identity,
    rules: PodRules,
    image: str,
    replicas: int | None,
    *,
    has_logins: bool,
    is_non_root: bool,
    is_autoscaled: bool = False,
    has_sleep_hook: bool = False,
    old_revisions: Collection[str] = (),
) -> Resource:
    """All instances of a deployment.

    Its Pods are made and removed without order, and replaced only when krane deletes one.

    Args:
        spec: of the deployment.
        identity: whose it is.
        rules: the operator's.
        image: as nodes pull it.
        replicas: None leaves the number to who else sets it.
        has_logins: the namespace has the Secret of `registry_logins`.
        is_non_root: the image says so; the nodes then see to it.
        is_autoscaled: the number of Pods is an autoscaler's.
        has_sleep_hook: the nodes can wait by themselves.
        old_revisions: whose Secrets are there still.
    """
    labels = labels_of(spec, identity)
    template: dict[str, Any] = {
        "metadata": {"labels": labels, "annotations": {names.ANNOTATION_REVISION: spec.revision}},
        "spec": pod_spec(spec, identity, rules, image, has_logins=has_logins, is_non_root=is_non_root),
    }
    if spec.restart_generation:
        template["metadata"]["annotations"][names.ANNOTATION_RESTART] = str(spec.restart_generation)
    if is_autoscaled:
        template["metadata"]["annotations"][names.ANNOTATION_AUTOSCALED] = "true"
    if is_autoscaled or (spec.replicas > 1 and not spec.process):
        _delay_stop(template["spec"], has_sleep_hook=has_sleep_hook)
    body: dict[str, Any] = {
        "serviceName": names.set_name(spec.deployment_id),
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": selector(spec, identity)},
        "template": template,
    }
    applied = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
    if replicas is not None:
        body["replicas"] = replicas
    metadata = _metadata(names.set_name(spec.deployment_id), identity.namespace(spec.workspace_id), labels)
    annotations = {
        names.ANNOTATION_REVISION: spec.revision,
        names.ANNOTATION_APPLIED: applied,
        names.ANNOTATION_IMAGE: spec.image_ref,
        names.ANNOTATION_NON_ROOT: "true" if is_non_root else "false",
        names.ANNOTATION_AUTOSCALED: "true" if is_autoscaled else "false",
    }
    if old_revisions:
        annotations[names.ANNOTATION_OLD_REVISIONS] = ",".join(sorted(old_revisions))
    return _made(StatefulSet, {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata | {"annotations": annotations},
        "spec": body,
    })  # fmt: skip


def selector(spec: DeploymentSpec, identity: Identity) -> dict[str, str]:
    """Of a deployment's Pods. A StatefulSet's can never be changed."""
    return {names.LABEL_INSTALLATION: identity.installation_id, names.LABEL_DEPLOYMENT: spec.deployment_id}


def owner_reference(name: str, uid: str) -> dict[str, Any]:
    """What ties an object to its StatefulSet: the cluster removes it with that."""
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": uid}


def literal(text: str) -> str:
    """`text` for fields in which Kubernetes replaces $(NAME) by a variable."""
    return text.replace("$", "$$")


def _made(kind: type[Any], data: Mapping[str, Any]) -> Resource:
    made: Resource = kind.from_dict(data)
    return made


def pod_spec(
    spec: DeploymentSpec, identity: Identity, rules: PodRules, image: str, *, has_logins: bool, is_non_root: bool
) -> dict[str, Any]:
    """The spec of an instance's Pod, as plain data."""
    tolerated = [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute",
         "tolerationSeconds": LOST_NODE_S}
        for what in ("not-ready", "unreachable")
    ]  # fmt: skip
    body: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_GRACE_S,
        "readinessGates": [{"conditionType": names.CONDITION_HEALTHY}],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "tolerations": tolerated,
        "containers": [_container(spec, identity, rules, image, is_non_root=is_non_root)],
    }
    if rules.is_root_read_only:
        body["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    if rules.runtime_class:
        body["runtimeClassName"] = rules.runtime_class
    if has_logins:
        body["imagePullSecrets"] = [{"name": LOGINS}]
    return body


def _delay_stop(pod: dict[str, Any], *, has_sleep_hook: bool) -> None:
    """An app that others than krane end, a drain or an autoscaler, is signalled once no request comes any more.

    Where the nodes can't wait by themselves, the image's `sleep` does; an image without it is signalled at once. The
    only instance of a deployment does not wait: nothing serves beside it, and its successor would start later.
    """
    hook: dict[str, Any] = {"exec": {"command": ["sleep", str(STOP_DELAY_S)]}}
    if has_sleep_hook:
        hook = {"sleep": {"seconds": STOP_DELAY_S}}
    pod["containers"][0]["lifecycle"] = {"preStop": hook}
    pod["terminationGracePeriodSeconds"] += STOP_DELAY_S


def _container(
    spec: DeploymentSpec, identity: Identity, rules: PodRules, image: str, *, is_non_root: bool
) -> dict[str, Any]:
    is_restricted = rules.security == "restricted"
    security: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], **({} if is_restricted else {"add": list(CAPABILITIES)})},
    }
    if is_restricted or is_non_root:
        security["runAsNonRoot"] = True
    if rules.is_root_read_only:
        security["readOnlyRootFilesystem"] = True
    limits = {"cpu": f"{spec.cpu_millicores}m", "memory": f"{spec.memory_mib}Mi"}
    reserved_cpu = max(MIN_CPU_MILLICORES, spec.cpu_millicores * rules.cpu_request_percent // 100)
    requests = {"cpu": f"{min(reserved_cpu, spec.cpu_millicores)}m", "memory": limits["memory"]}
    if spec.disk_mib:
        limits["ephemeral-storage"] = f"{spec.disk_mib}Mi"
        requests["ephemeral-storage"] = "0"  # a limit alone would reserve as much
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        # By digest an image of a node is the registry's. A name may have moved, and a node may have another one of it.
        "imagePullPolicy": "IfNotPresent" if "@" in image or not spec.must_pull else "Always",
        "env": [{"name": name, "value": literal(value)} for name, value in sorted(_platform(spec, identity).items())],
        "envFrom": [{"secretRef": {"name": variables_name(spec.deployment_id, spec.revision)}}],
        **({"ports": [{"name": "http", "containerPort": spec.port, "protocol": "TCP"}]} if spec.port else {}),
        "resources": {"limits": limits, "requests": requests},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the last lines outlive a node that can't be asked
        "securityContext": security,
    }
    if spec.command:
        container["args"] = [literal(word) for word in spec.command]
    if rules.is_root_read_only:
        container["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the container's
    return container


def _platform(spec: DeploymentSpec, identity: Identity) -> dict[str, str]:
    """What wins over the user's variables."""
    said = {
        **({"SEALIFT_PROCESS": spec.process} if spec.process else {"PORT": str(spec.port)}),
        "SEALIFT_DEPLOYMENT_ID": spec.owner_id,
        "SEALIFT_ENVIRONMENT_ID": spec.environment_id,
        "SEALIFT_REGION": identity.region,
    }
    if spec.public_url:
        said |= {
            "SEALIFT_PUBLIC_URL": spec.public_url,
            "SEALIFT_HOSTNAME": urlsplit(spec.public_url).hostname or "",
        }
    return said


def _metadata(name: str, in_namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"name": name, "namespace": in_namespace, "labels": dict(labels)}


def _all_but(everything: str, denied: Sequence[str]) -> dict[str, Any]:
    version = ip_network(everything).version
    excepted = sorted({str(ip_network(one)) for one in denied if ip_network(one).version == version})
    return {"cidr": everything, **({"except": excepted} if excepted else {})}
