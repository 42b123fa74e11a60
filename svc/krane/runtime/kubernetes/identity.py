"""Whose objects these are, what they are called, and how they are labelled. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pkg.desired.processes import workload_label
from pkg.ids import dns_label

FIELD_MANAGER = "sealift-krane"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "sealift"
LABEL_INSTALLATION = "sealift.dev/installation"
LABEL_REGION = "sealift.dev/region"
LABEL_WORKSPACE = "sealift.dev/workspace"
LABEL_PROJECT = "sealift.dev/project"
LABEL_ENVIRONMENT = "sealift.dev/environment"
LABEL_DEPLOYMENT = "sealift.dev/deployment"  # of a process, its workload: selectors must tell them apart
LABEL_PROCESS = "sealift.dev/process"
LABEL_JOB = "sealift.dev/job"  # of what is no instance: without LABEL_DEPLOYMENT
LABEL_JOB_KIND = "sealift.dev/job-kind"
RELEASE, RUN = "release", "run"
ANNOTATION_JOB_DEPLOYMENT = "sealift.dev/job-deployment"
ANNOTATION_REVISION = "sealift.dev/revision"
ANNOTATION_OLD_REVISIONS = "sealift.dev/old-revisions"  # Pods of them may be there, and their Secrets are
ANNOTATION_APPLIED = "sealift.dev/applied"
ANNOTATION_IMAGE = "sealift.dev/image"
ANNOTATION_NON_ROOT = "sealift.dev/non-root"
ANNOTATION_AUTOSCALED = "sealift.dev/autoscaled"  # the number of Pods is an autoscaler's
ANNOTATION_RESTART = "sealift.dev/restart"  # the restart that a Pod was made for; absent: none
# The kubelet counts a Pod as ready once this is true, too: a drain of nodes then waits for krane's own probes.
CONDITION_HEALTHY = "sealift.dev/healthy"


@dataclass(frozen=True)
class Identity:
    """Whose objects these are. Only those that carry exactly these labels are ever changed or deleted.

    Attributes:
        prefix: first part of the names of namespaces.
    """

    installation_id: str
    region: str
    prefix: str = "sealift"

    def labels(self) -> dict[str, str]:
        """The labels that everything of ours carries."""
        return {MANAGED_BY: MANAGER, LABEL_INSTALLATION: self.installation_id, LABEL_REGION: self.region}

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is ours."""
        return all(labels.get(name) == value for name, value in self.labels().items())

    @property
    def selector(self) -> str:
        """For lists: everything of ours."""
        return ",".join(f"{name}={value}" for name, value in self.labels().items())

    def namespace(self, workspace_id: str) -> str:
        """Of a workspace's instances. Two regions of one installation may share a cluster."""
        whose = hashlib.sha256(f"{self.installation_id}\0{self.region}".encode()).hexdigest()[:8]
        return f"{self.prefix}-{whose}-{dns_label(workspace_id)}"


def set_name(deployment_id: str) -> str:
    """Of a deployment's StatefulSet: its Pods are then called as the instances are."""
    return workload_label(deployment_id)


def ordinal(pod_name: str) -> int:
    """The number of an instance, of its Pod's name; -1 for a name without one."""
    number = pod_name.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdecimal() else -1
