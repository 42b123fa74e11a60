"""Which servicer serves which service of the protos: a line each. Both transports serve what is listed here."""

from collections.abc import Callable, Mapping

from google.protobuf.descriptor import ServiceDescriptor

from sealift.ctrl.v1 import (
    acme_pb2,
    build_pb2,
    cluster_pb2,
    ctrl_pb2,
    deletion_pb2,
    deployment_pb2,
    domain_pb2,
    environment_pb2,
    exec_pb2,
    job_pb2,
    key_pb2,
    project_pb2,
    routing_pb2,
    stats_pb2,
)
from svc.api.deps import ApiDeps
from svc.api.services.builds.service import BuildServicer
from svc.api.services.certificates.service import AcmeServicer
from svc.api.services.cluster.service import ClusterServicer
from svc.api.services.ctrl.service import CtrlServicer
from svc.api.services.deletions.service import DeletionServicer
from svc.api.services.deployments.service import DeploymentServicer
from svc.api.services.domains.service import DomainServicer
from svc.api.services.environments.service import EnvironmentServicer
from svc.api.services.execs.service import ExecServicer
from svc.api.services.jobs.service import JobServicer
from svc.api.services.keys.service import KeyServicer
from svc.api.services.projects.service import ProjectServicer
from svc.api.services.routing.service import RoutingServicer
from svc.api.services.stats.service import StatsServicer

Registry = Mapping[ServiceDescriptor, Callable[[ApiDeps], object]]

SERVICERS: Registry = {
    acme_pb2.DESCRIPTOR.services_by_name["AcmeService"]: AcmeServicer,
    build_pb2.DESCRIPTOR.services_by_name["BuildService"]: BuildServicer,
    cluster_pb2.DESCRIPTOR.services_by_name["ClusterService"]: ClusterServicer,
    ctrl_pb2.DESCRIPTOR.services_by_name["CtrlService"]: CtrlServicer,
    deletion_pb2.DESCRIPTOR.services_by_name["DeletionService"]: DeletionServicer,
    deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"]: DeploymentServicer,
    domain_pb2.DESCRIPTOR.services_by_name["DomainService"]: DomainServicer,
    environment_pb2.DESCRIPTOR.services_by_name["EnvironmentService"]: EnvironmentServicer,
    job_pb2.DESCRIPTOR.services_by_name["JobService"]: JobServicer,
    exec_pb2.DESCRIPTOR.services_by_name["ExecService"]: ExecServicer,
    key_pb2.DESCRIPTOR.services_by_name["KeyService"]: KeyServicer,
    project_pb2.DESCRIPTOR.services_by_name["ProjectService"]: ProjectServicer,
    routing_pb2.DESCRIPTOR.services_by_name["RoutingService"]: RoutingServicer,
    stats_pb2.DESCRIPTOR.services_by_name["StatsService"]: StatsServicer,
}
