"""What krane reads of a cluster's objects: a few of their fields, by the names of the API. Pure.

Full models would take several times the memory for each Pod, and fail on a value that a later server adds.
"""

from typing import Any

import msgspec


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Unknown fields are ignored; those that are absent have their default."""


class OwnerReference(_Wire, frozen=True):
    """Which object another one belongs to."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Metadata(_Wire, frozen=True):
    """Of every object.

    Attributes:
        deletion_timestamp: when its deletion was requested, plus its grace; None: it was not.
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class Condition(_Wire, frozen=True):
    """One of an object's conditions."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class Waiting(_Wire, frozen=True):
    """Why a container does not run yet, or not now."""

    reason: str = ""
    message: str = ""


class Running(_Wire, frozen=True):
    """Since when a container runs."""

    started_at: str | None = None


class Terminated(_Wire, frozen=True):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    container_id: str = msgspec.field(name="containerID", default="")


class ContainerState(_Wire, frozen=True):
    """One of the three, or none."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Wire, frozen=True):
    """Of one container, as the kubelet reported it last."""

    name: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Resources(_Wire, frozen=True):
    """Limits of a container."""

    limits: dict[str, Any] = {}


class Lifecycle(_Wire, frozen=True):
    """What a node does besides starting and ending a container."""

    pre_stop: dict[str, Any] | None = None


class Container(_Wire, frozen=True):
    """What a Pod's container is made from."""

    name: str = ""
    image: str = ""
    args: tuple[str, ...] = ()
    resources: Resources = Resources()
    lifecycle: Lifecycle = Lifecycle()


class PodSpec(_Wire, frozen=True):
    """What a Pod is made from."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()

    @property
    def app(self) -> Container:
        """The app's container: webhooks of others may have put theirs before it."""
        return next((one for one in self.containers if one.name == "app"), Container())


class PodStatus(_Wire, frozen=True):
    """What the cluster says of a Pod. Nodes write it: any part may be absent."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(_Wire, frozen=True):
    """One instance."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type."""
        return next((one for one in self.status.conditions or () if one.type == type_), None)

    @property
    def container(self) -> ContainerStatus:
        """The status of the app's container; an empty one before the kubelet reports any."""
        return next((one for one in self.status.container_statuses or () if one.name == "app"), ContainerStatus())


class TemplateSpec(_Wire, frozen=True):
    """The part of a template that is read again."""

    containers: tuple[Container, ...] = ()


class Template(_Wire, frozen=True):
    """What Pods are made from."""

    metadata: Metadata = Metadata()
    spec: TemplateSpec = TemplateSpec()


class StatefulSetSpec(_Wire, frozen=True):
    """How many Pods there should be, and of what."""

    replicas: int = 1
    template: Template = Template()


class StatefulSet(_Wire, frozen=True):
    """All instances of one deployment."""

    metadata: Metadata = Metadata()
    spec: StatefulSetSpec = StatefulSetSpec()


class NodeStatus(_Wire, frozen=True):
    """What the cluster says of a node."""

    conditions: tuple[Condition, ...] = ()


class Node(_Wire, frozen=True):
    """A machine."""

    metadata: Metadata = Metadata()
    status: NodeStatus = NodeStatus()


class AutoscalerStatus(_Wire, frozen=True):
    """What the cluster's controller says of an autoscaler; absent until it has looked at it."""

    conditions: tuple[Condition, ...] | None = None


class Autoscaler(_Wire, frozen=True):
    """The HorizontalPodAutoscaler of one deployment."""

    metadata: Metadata = Metadata()
    status: AutoscalerStatus = AutoscalerStatus()

    @property
    def deployment_id(self) -> str:
        """Of the deployment that it scales."""
        return self.metadata.labels.get("sealift.dev/deployment", "")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Whether it can scale."""
        return self.status.conditions or ()


class NamespaceStatus(_Wire, frozen=True):
    """Whether it is being deleted."""

    phase: str = ""


class Namespace(_Wire, frozen=True):
    """The instances of one workspace."""

    metadata: Metadata = Metadata()
    status: NamespaceStatus = NamespaceStatus()


class Anything(_Wire, frozen=True):
    """An object of which only the metadata counts."""

    metadata: Metadata = Metadata()


class Event(_Wire, frozen=True):
    """What a controller of the cluster noted about an object."""

    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = None
    metadata: Metadata = Metadata()


class Address(_Wire, frozen=True):
    """Of an endpoint."""

    ip: str = ""


class Subset(_Wire, frozen=True):
    """Some endpoints of a Service."""

    addresses: tuple[Address, ...] = ()


class ServiceEndpoints(_Wire, frozen=True):
    """Where a Service leads."""

    subsets: tuple[Subset, ...] | None = None


class ListMetadata(_Wire, frozen=True):
    """Of a list, or of a page of it."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class Page(_Wire, frozen=True):
    """A page of a list; its items are decoded as what was asked for."""

    metadata: ListMetadata = ListMetadata()
    items: tuple[msgspec.Raw, ...] | None = None


class WatchEvent(_Wire, frozen=True):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class Status(_Wire, frozen=True):
    """How the server refuses."""

    code: int = 0
    reason: str = ""
    message: str = ""
