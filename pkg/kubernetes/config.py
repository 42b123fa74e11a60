"""The section `[kubernetes]`."""

import re
from typing import Literal

from pkg.config import Strict
from pkg.config.sections import network_problems


class Kubernetes(Strict):
    """The cluster that runs the instances, in namespaces that krane makes: one for each workspace.

    Attributes:
        kubeconfig: path of a kubeconfig; "" takes the service account of krane's own Pod.
        context: of the kubeconfig; "" for its current one.
        namespace_prefix: first part of the namespaces' names, 1 to 24 of a-z 0-9 -.
        security: the level of Kubernetes' Pod security standards, "baseline" or "restricted". Under "restricted" images
            that run as root don't start.
        read_only_root: whether an instance's file system is read-only, all but /tmp.
        runtime_class: RuntimeClass of the Pods, e.g. "gvisor"; "": the cluster's default.
        cpu_request_percent: how much of its cpu_millicores an instance reserves on its node, 1 to 100. Its memory is
            reserved as a whole.
        ingress_namespace: namespace of the Pods that send requests to instances; "" for krane's own.
        ingress_pods: labels of these Pods, "name=value".
        ingress_ranges: networks of machines outside the cluster that send requests to instances, e.g.
            ["10.1.2.3/32"], where krane runs on one.
        egress_denied: networks that instances may not reach, beside those of metadata services and of the API server.
        lease_namespace: namespace of the Leases by which the kranes of a region elect a leader; "" for krane's own.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace_prefix: str = "sealift"
    security: Literal["baseline", "restricted"] = "baseline"
    read_only_root: bool = False
    runtime_class: str = ""
    cpu_request_percent: int = 25
    ingress_namespace: str = ""
    ingress_pods: tuple[str, ...] = ("app.kubernetes.io/name=krane",)
    ingress_ranges: tuple[str, ...] = ()
    egress_denied: tuple[str, ...] = ()
    lease_namespace: str = ""

    def problems(self) -> list[str]:
        """Names are names, ranges are networks."""
        found = network_problems("ingress_ranges", self.ingress_ranges)
        found += network_problems("egress_denied", self.egress_denied)
        if not re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?", self.namespace_prefix):
            found.append(f"namespace_prefix: expected 1 to 24 of a-z, 0-9 and -, got {self.namespace_prefix!r}")
        if not 1 <= self.cpu_request_percent <= 100:
            found.append(f"cpu_request_percent: expected 1 to 100, got {self.cpu_request_percent}")
        found += [
            f"ingress_pods[{number}]: expected name=value, got {label!r}"
            for number, label in enumerate(self.ingress_pods)
            if not re.fullmatch("[^=]+=[^=]*", label)
        ]
        return found
