"""`Client`: all calls of the command line. Requests and responses are messages of `sealift.ctrl.v1`.

A call whose repeat is harmless is retried while the server is unavailable, see `Connection`.
"""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from sealift.client.connection import Connection
from sealift.client.credentials import Endpoint
from sealift.client.exec_stream import ExecStream
from sealift.client.retry import FIRST_CONTACT, ONCE, PATIENT, Retry
from sealift.client.tracing import NO_TRACING, Tracing
from sealift.ctrl.v1 import (
    acme_pb2,
    build_pb2,
    common_pb2,
    ctrl_pb2,
    deletion_pb2,
    deployment_pb2,
    domain_pb2,
    environment_pb2,
    job_pb2,
    key_pb2,
    log_pb2,
    project_pb2,
    stats_pb2,
    usage_pb2,
)

PAGE_SIZE = 200


def new_idempotency_key() -> str:
    """A key for one request; repeating the request with the same key creates nothing twice."""
    return f"cli-{secrets.token_hex(16)}"


class Client(Connection):
    """All calls to a server, see `Connection`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        first: Retry = FIRST_CONTACT,
        retry: Retry = PATIENT,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        super().__init__(endpoint, first=first, retry=retry, tracing=tracing)
        from sealift.ctrl.v1 import (
            acme_pb2_grpc,
            build_pb2_grpc,
            ctrl_pb2_grpc,
            deletion_pb2_grpc,
            deployment_pb2_grpc,
            domain_pb2_grpc,
            environment_pb2_grpc,
            exec_pb2_grpc,
            job_pb2_grpc,
            key_pb2_grpc,
            project_pb2_grpc,
            stats_pb2_grpc,
        )

        self._ctrl: Any = ctrl_pb2_grpc.CtrlServiceStub(self._channel)
        self._projects: Any = project_pb2_grpc.ProjectServiceStub(self._channel)
        self._acme: Any = acme_pb2_grpc.AcmeServiceStub(self._channel)
        self._domains: Any = domain_pb2_grpc.DomainServiceStub(self._channel)
        self._stats: Any = stats_pb2_grpc.StatsServiceStub(self._channel)
        self._environments: Any = environment_pb2_grpc.EnvironmentServiceStub(self._channel)
        self._builds: Any = build_pb2_grpc.BuildServiceStub(self._channel)
        self._deployments: Any = deployment_pb2_grpc.DeploymentServiceStub(self._channel)
        self._deletions: Any = deletion_pb2_grpc.DeletionServiceStub(self._channel)
        self._jobs: Any = job_pb2_grpc.JobServiceStub(self._channel)
        self._execs: Any = exec_pb2_grpc.ExecServiceStub(self._channel)
        self._keys: Any = key_pb2_grpc.KeyServiceStub(self._channel)

    # -- the server

    async def server_info(self) -> ctrl_pb2.GetServerInfoResponse:
        """Version, identity and limits of the installation."""
        request = ctrl_pb2.GetServerInfoRequest()
        answer: ctrl_pb2.GetServerInfoResponse = await self._call(self._ctrl.GetServerInfo, request)
        return answer

    # -- projects and environments

    async def create_project(self, slug: str, name: str | None = None) -> project_pb2.Project:
        """Create a project. Not retried: the first try may have taken the slug."""
        request = project_pb2.CreateProjectRequest(slug=slug)
        if name:
            request.name = name
        answer: project_pb2.CreateProjectResponse = await self._call(self._projects.CreateProject, request, retry=ONCE)
        return answer.project

    async def project(self, ref: str) -> project_pb2.Project:
        """The project with this id ("proj_...") or slug."""
        by_id = ref.startswith("proj_")
        request = project_pb2.GetProjectRequest(project_id=ref) if by_id else project_pb2.GetProjectRequest(slug=ref)
        answer: project_pb2.GetProjectResponse = await self._call(self._projects.GetProject, request)
        return answer.project

    async def projects(self) -> AsyncIterator[project_pb2.Project]:
        """All projects of the workspace, ordered by slug."""
        request = project_pb2.ListProjectsRequest(page_size=PAGE_SIZE)
        while True:
            page: project_pb2.ListProjectsResponse = await self._call(self._projects.ListProjects, request)
            for project in page.projects:
                yield project
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def environment(self, project_id: str, slug: str) -> environment_pb2.Environment:
        """The environment `slug` of a project."""
        by_slug = environment_pb2.EnvironmentSlug(project_id=project_id, slug=slug)
        request = environment_pb2.GetEnvironmentRequest(by_slug=by_slug)
        answer: environment_pb2.GetEnvironmentResponse = await self._call(self._environments.GetEnvironment, request)
        return answer.environment

    async def environments(self, project_id: str) -> list[environment_pb2.Environment]:
        """The environments of a project, production first."""
        answer: environment_pb2.ListEnvironmentsResponse = await self._call(
            self._environments.ListEnvironments, environment_pb2.ListEnvironmentsRequest(project_id=project_id)
        )
        return list(answer.environments)

    async def create_environment(self, project_id: str, slug: str) -> environment_pb2.Environment:
        """Create an environment. Not retried: the first try may have taken the slug."""
        answer: environment_pb2.CreateEnvironmentResponse = await self._call(
            self._environments.CreateEnvironment,
            environment_pb2.CreateEnvironmentRequest(project_id=project_id, slug=slug),
            retry=ONCE,
        )
        return answer.environment

    async def update_variables(
        self,
        environment_id: str,
        *,
        put: Mapping[str, str] | None = None,
        put_plain: Mapping[str, str] | None = None,
        drop: tuple[str, ...] = (),
    ) -> environment_pb2.Environment:
        """Set and unset variables of an environment, for later deployments. Idempotent.

        Args:
            environment_id: "env_...".
            put: variables to set; the values can't be read again.
            put_plain: variables to set; the values can be read again.
            drop: names to unset.
        """
        return await self._update_environment(
            environment_pb2.UpdateEnvironmentRequest(
                environment_id=environment_id,
                set_variables=put or {},
                set_plain_variables=put_plain or {},
                unset_variables=drop,
            )
        )

    async def update_settings(
        self, environment_id: str, settings: common_pb2.RuntimeSettings
    ) -> environment_pb2.Environment:
        """Change the settings that are present, for later deployments. Idempotent."""
        return await self._update_environment(
            environment_pb2.UpdateEnvironmentRequest(environment_id=environment_id, settings=settings)
        )

    async def _update_environment(
        self, request: environment_pb2.UpdateEnvironmentRequest
    ) -> environment_pb2.Environment:
        answer: environment_pb2.UpdateEnvironmentResponse = await self._call(
            self._environments.UpdateEnvironment, request
        )
        return answer.environment

    # -- builds

    async def upload_url(
        self, project_id: str, *, sha256: str, size_bytes: int, may_be_local: bool = True
    ) -> build_pb2.GenerateUploadURLResponse:
        """The URL to PUT an archive to, or that the store already has it. Idempotent.

        Args:
            project_id: "proj_...".
            sha256: of the archive.
            size_bytes: of the archive.
            may_be_local: whether a client that reaches the server on this machine gets a URL on this machine.
        """
        address = self.endpoint.address
        request = build_pb2.GenerateUploadURLRequest(
            project_id=project_id, sha256=sha256, size_bytes=size_bytes, sends_headers=True,
            is_on_loopback=may_be_local and address.is_local and not address.is_tls,
        )  # fmt: skip
        answer: build_pb2.GenerateUploadURLResponse = await self._call(self._builds.GenerateUploadURL, request)
        return answer

    async def build(self, build_id: str) -> build_pb2.Build:
        """One build."""
        answer: build_pb2.GetBuildResponse = await self._call(
            self._builds.GetBuild, build_pb2.GetBuildRequest(build_id=build_id)
        )
        return answer.build

    async def create_build(self, request: build_pb2.CreateBuildRequest) -> build_pb2.CreateBuildResponse:
        """Build an image without deploying it. Adds an idempotency key if there is none, so that it can be retried."""
        if not request.HasField("idempotency_key"):
            request.idempotency_key = new_idempotency_key()
        answer: build_pb2.CreateBuildResponse = await self._call(self._builds.CreateBuild, request)
        return answer

    async def builds(self, project_id: str, *, limit: int = 20) -> list[build_pb2.Build]:
        """The newest `limit` builds of a project, with and without a deployment, newest first."""
        request = build_pb2.ListBuildsRequest(project_id=project_id, page_size=min(limit, PAGE_SIZE))
        return await self._newest(self._builds.ListBuilds, request, limit, lambda page: page.builds)

    async def cancel_build(self, build_id: str) -> build_pb2.Build:
        """Request the cancellation of a build, and of the deployment that waits for it. Idempotent."""
        answer: build_pb2.CancelBuildResponse = await self._call(
            self._builds.CancelBuild, build_pb2.CancelBuildRequest(build_id=build_id)
        )
        return answer.build

    async def stream_build_logs(
        self, build_id: str, *, after_seq: int, follow: bool, steps_only: bool = False
    ) -> AsyncGenerator[build_pb2.GetBuildLogsResponse, None]:
        """One stream of a build's events, one by one; `follow.follow_build_logs` reconnects."""
        request = build_pb2.GetBuildLogsRequest(
            build_id=build_id, after_seq=after_seq, follow=follow, steps_only=steps_only, batched=True
        )
        async with aclosing(self._stream(self._builds.GetBuildLogs, request)) as messages:
            async for message in messages:
                yield message
                for event in message.following:
                    yield event

    # -- deployments

    async def create_deployment(
        self, request: deployment_pb2.CreateDeploymentRequest
    ) -> deployment_pb2.CreateDeploymentResponse:
        """Create a deployment. Adds an idempotency key if there is none, so that the call can be retried."""
        if not request.HasField("idempotency_key"):
            request.idempotency_key = new_idempotency_key()
        answer: deployment_pb2.CreateDeploymentResponse = await self._call(self._deployments.CreateDeployment, request)
        return answer

    async def deployment(self, deployment_id: str) -> deployment_pb2.Deployment:
        """One deployment with its steps, instances and error."""
        answer: deployment_pb2.GetDeploymentResponse = await self._call(
            self._deployments.GetDeployment, deployment_pb2.GetDeploymentRequest(deployment_id=deployment_id)
        )
        return answer.deployment

    async def compare_deployments(
        self, deployment_id: str, other_deployment_id: str
    ) -> deployment_pb2.CompareDeploymentsResponse:
        """Two deployments of a project, and how their variables differ, without any value."""
        request = deployment_pb2.CompareDeploymentsRequest(
            deployment_id=deployment_id, other_deployment_id=other_deployment_id
        )
        answer: deployment_pb2.CompareDeploymentsResponse = await self._call(
            self._deployments.CompareDeployments, request
        )
        return answer

    async def deployments(
        self, project_id: str, *, environment_slug: str | None = None, branch: str | None = None, limit: int = 20
    ) -> list[deployment_pb2.Deployment]:
        """The newest `limit` deployments, newest first."""
        request = deployment_pb2.ListDeploymentsRequest(project_id=project_id, page_size=min(limit, PAGE_SIZE))
        if environment_slug:
            request.environment_slug = environment_slug
        if branch:
            request.branch = branch
        return await self._newest(self._deployments.ListDeployments, request, limit, lambda page: page.deployments)

    async def cancel_deployment(self, deployment_id: str) -> deployment_pb2.Deployment:
        """Request the cancellation of a deployment. Idempotent."""
        answer: deployment_pb2.CancelDeploymentResponse = await self._call(
            self._deployments.CancelDeployment, deployment_pb2.CancelDeploymentRequest(deployment_id=deployment_id)
        )
        return answer.deployment

    async def stop_deployment(
        self, deployment_id: str, *, take_down: bool = False
    ) -> deployment_pb2.StopDeploymentResponse:
        """Stop the instances of a ready deployment; of a live one only with `take_down`."""
        request = deployment_pb2.StopDeploymentRequest(deployment_id=deployment_id, take_down=take_down)
        answer: deployment_pb2.StopDeploymentResponse = await self._call(self._deployments.StopDeployment, request)
        return answer

    async def promote(self, deployment_id: str) -> deployment_pb2.Operation:
        """Start moving the environment's routes to a ready deployment."""
        request = deployment_pb2.PromoteRequest(deployment_id=deployment_id, idempotency_key=new_idempotency_key())
        answer: deployment_pb2.PromoteResponse = await self._call(self._deployments.Promote, request)
        return answer.operation

    async def rollback(self, environment_id: str, deployment_id: str | None = None) -> deployment_pb2.Operation:
        """Start moving the routes back to `deployment_id`, or to the deployment that was live before."""
        request = deployment_pb2.RollbackRequest(environment_id=environment_id, idempotency_key=new_idempotency_key())
        if deployment_id:
            request.deployment_id = deployment_id
        answer: deployment_pb2.RollbackResponse = await self._call(self._deployments.Rollback, request)
        return answer.operation

    async def scale(self, environment_id: str, replicas: int, process: str = "") -> deployment_pb2.Operation:
        """Start running this number of instances in each region, for every deployment of the environment.

        `process`: of this process; "" for web.
        """
        request = environment_pb2.ScaleRequest(
            environment_id=environment_id,
            replicas=replicas,
            process=process,
            idempotency_key=new_idempotency_key(),
        )
        answer: environment_pb2.ScaleResponse = await self._call(self._environments.Scale, request)
        return answer.operation

    async def restart(self, deployment_id: str) -> deployment_pb2.Operation:
        """Start making every instance of a deployment again, one at a time."""
        request = deployment_pb2.RestartRequest(deployment_id=deployment_id, idempotency_key=new_idempotency_key())
        answer: deployment_pb2.RestartResponse = await self._call(self._deployments.Restart, request)
        return answer.operation

    async def operation(self, operation_id: str) -> deployment_pb2.Operation:
        """One promote, rollback, stop, scale or restart."""
        answer: deployment_pb2.GetOperationResponse = await self._call(
            self._deployments.GetOperation, deployment_pb2.GetOperationRequest(operation_id=operation_id)
        )
        return answer.operation

    def stream_deployment(self, deployment_id: str) -> AsyncIterator[deployment_pb2.WatchDeploymentResponse]:
        """One stream of a deployment's changes; `follow.follow_deployment` reconnects."""
        request = deployment_pb2.WatchDeploymentRequest(deployment_id=deployment_id)
        return self._stream(self._deployments.WatchDeployment, request)

    def stream_logs(self, request: log_pb2.GetLogsRequest) -> AsyncIterator[log_pb2.GetLogsResponse]:
        """One stream of what a deployment's instances print; `follow_logs.follow_logs` reconnects."""
        return self._stream(self._deployments.GetLogs, request)

    def stream_operation(self, operation_id: str) -> AsyncIterator[deployment_pb2.WatchOperationResponse]:
        """One stream of an operation's changes; `follow.follow_operation` reconnects."""
        request = deployment_pb2.WatchOperationRequest(operation_id=operation_id)
        return self._stream(self._deployments.WatchOperation, request)

    # -- jobs

    async def run_command(self, environment_id: str, command: Sequence[str], timeout_s: int) -> job_pb2.Job:
        """Start a command with what is live in an environment."""
        request = job_pb2.RunCommandRequest(
            environment_id=environment_id,
            command=command,
            timeout_s=timeout_s,
            idempotency_key=new_idempotency_key(),
        )
        answer: job_pb2.RunCommandResponse = await self._call(self._jobs.RunCommand, request)
        return answer.job

    async def job(self, job_id: str) -> job_pb2.Job:
        """One job."""
        answer: job_pb2.GetJobResponse = await self._call(self._jobs.GetJob, job_pb2.GetJobRequest(job_id=job_id))
        return answer.job

    async def jobs(self, environment_id: str, *, limit: int = 20) -> list[job_pb2.Job]:
        """The newest `limit` jobs of an environment, newest first."""
        request = job_pb2.ListJobsRequest(environment_id=environment_id, page_size=min(limit, PAGE_SIZE))
        return await self._newest(self._jobs.ListJobs, request, limit, lambda page: page.jobs)

    async def stop_job(self, job_id: str) -> job_pb2.Job:
        """Ask a job to end. Idempotent."""
        answer: job_pb2.StopJobResponse = await self._call(self._jobs.StopJob, job_pb2.StopJobRequest(job_id=job_id))
        return answer.job

    def stream_job(self, job_id: str) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """One stream of a job's changes; `follow.follow_job` reconnects."""
        return self._stream(self._jobs.WatchJob, job_pb2.WatchJobRequest(job_id=job_id))

    # -- commands in instances

    def open_exec(self) -> ExecStream:
        """The call of one command in an instance; close it."""
        return ExecStream(self._execs.Exec(metadata=self._metadata()), self._error)

    # -- deletions; recording one is idempotent

    async def delete_project(self, project_id: str, *, skip_regions: bool = False) -> deletion_pb2.Deletion:
        """Start deleting a project with all that it has. `skip_regions`: go on without those that do not confirm."""
        request = project_pb2.DeleteProjectRequest(project_id=project_id, skip_regions=skip_regions)
        answer: project_pb2.DeleteProjectResponse = await self._call(self._projects.DeleteProject, request)
        return answer.deletion

    async def delete_environment(self, environment_id: str, *, skip_regions: bool = False) -> deletion_pb2.Deletion:
        """Start deleting a preview environment with all that it has. `skip_regions`: as in `delete_project`."""
        request = environment_pb2.DeleteEnvironmentRequest(environment_id=environment_id, skip_regions=skip_regions)
        answer: environment_pb2.DeleteEnvironmentResponse = await self._call(
            self._environments.DeleteEnvironment, request
        )
        return answer.deletion

    async def delete_deployment(
        self, deployment_id: str, *, force: bool = False, skip_regions: bool = False
    ) -> deletion_pb2.Deletion:
        """Start deleting a deployment; of what is live or rolled back to only with `force`."""
        request = deployment_pb2.DeleteDeploymentRequest(
            deployment_id=deployment_id, force=force, skip_regions=skip_regions
        )
        answer: deployment_pb2.DeleteDeploymentResponse = await self._call(self._deployments.DeleteDeployment, request)
        return answer.deletion

    async def deletion(self, deletion_id: str) -> deletion_pb2.Deletion:
        """One deletion, also long after its end."""
        request = deletion_pb2.GetDeletionRequest(deletion_id=deletion_id)
        answer: deletion_pb2.GetDeletionResponse = await self._call(self._deletions.GetDeletion, request)
        return answer.deletion

    def stream_deletion(self, deletion_id: str) -> AsyncIterator[deletion_pb2.WatchDeletionResponse]:
        """One stream of a deletion's changes; `follow.follow_deletion` reconnects."""
        return self._stream(self._deletions.WatchDeletion, deletion_pb2.WatchDeletionRequest(deletion_id=deletion_id))

    # -- domains

    async def add_domain(self, environment_id: str, hostname: str) -> domain_pb2.Domain:
        """Add a domain to an environment. Idempotent."""
        request = domain_pb2.AddDomainRequest(environment_id=environment_id, hostname=hostname)
        answer: domain_pb2.AddDomainResponse = await self._call(self._domains.AddDomain, request)
        return answer.domain

    async def domains(self, project_id: str, *, environment_id: str | None = None) -> AsyncIterator[domain_pb2.Domain]:
        """All domains of a project, or of one environment, by hostname."""
        request = domain_pb2.ListDomainsRequest(
            project_id=project_id, environment_id=environment_id, page_size=PAGE_SIZE
        )
        while True:
            page: domain_pb2.ListDomainsResponse = await self._call(self._domains.ListDomains, request)
            for domain in page.domains:
                yield domain
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def domain(self, ref: str) -> domain_pb2.Domain:
        """The domain with this id ("dom_...") or hostname."""
        by_id = ref.startswith("dom_")
        request = domain_pb2.GetDomainRequest(domain_id=ref) if by_id else domain_pb2.GetDomainRequest(hostname=ref)
        answer: domain_pb2.GetDomainResponse = await self._call(self._domains.GetDomain, request)
        return answer.domain

    async def verify_domain(self, domain_id: str) -> domain_pb2.Domain:
        """Ask DNS about a domain soon. Idempotent."""
        request = domain_pb2.VerifyDomainRequest(domain_id=domain_id)
        answer: domain_pb2.VerifyDomainResponse = await self._call(self._domains.VerifyDomain, request)
        return answer.domain

    async def remove_domain(self, domain_id: str) -> None:
        """End a domain and its route. Not retried: the first try may have removed it."""
        request = domain_pb2.RemoveDomainRequest(domain_id=domain_id)
        await self._call(self._domains.RemoveDomain, request, retry=ONCE)

    # -- access figures and usage

    async def stats(
        self,
        project_id: str,
        *,
        since: int,
        environment_slug: str | None = None,
        deployment_id: str | None = None,
        points: bool = False,
    ) -> stats_pb2.GetStatsResponse:
        """How many requests a project's deployments got since then (epoch milliseconds), and how they were answered."""
        request = stats_pb2.GetStatsRequest(
            project_id=project_id,
            environment_slug=environment_slug,
            deployment_id=deployment_id,
            since=since,
            points=points,
        )
        answer: stats_pb2.GetStatsResponse = await self._call(self._stats.GetStats, request)
        return answer

    async def usage(
        self,
        project_id: str,
        *,
        since: int,
        environment_slug: str | None = None,
        deployment_id: str | None = None,
        instances: bool = False,
    ) -> usage_pb2.GetUsageResponse:
        """What a project's instances used since then (epoch milliseconds); with `instances`, also each of them."""
        request = usage_pb2.GetUsageRequest(
            project_id=project_id,
            environment_slug=environment_slug,
            deployment_id=deployment_id,
            since=since,
            instances=instances,
        )
        answer: usage_pb2.GetUsageResponse = await self._call(self._stats.GetUsage, request)
        return answer

    # -- certificates

    async def certificates(self) -> tuple[list[acme_pb2.ManagedCertificate], list[str]]:
        """All certificates by name, and notices: which names have none, and why."""
        found: list[acme_pb2.ManagedCertificate] = []
        request = acme_pb2.ListCertificatesRequest(page_size=PAGE_SIZE)
        while True:
            page: acme_pb2.ListCertificatesResponse = await self._call(self._acme.ListCertificates, request)
            found += page.certificates
            if not page.next_page_token:
                return found, list(page.notices)
            request.page_token = page.next_page_token

    async def certificate(self, name: str) -> acme_pb2.GetCertificateStatusResponse:
        """The certificate of that name, or the one that covers the hostname, with its last orders."""
        request = acme_pb2.GetCertificateStatusRequest(name=name)
        answer: acme_pb2.GetCertificateStatusResponse = await self._call(self._acme.GetCertificateStatus, request)
        return answer

    async def retry_certificate(self, name: str) -> acme_pb2.ManagedCertificate:
        """Order a certificate now. Idempotent while the order is under way."""
        request = acme_pb2.RetryCertificateRequest(name=name)
        answer: acme_pb2.RetryCertificateResponse = await self._call(self._acme.RetryCertificate, request)
        return answer.certificate

    async def certificate_authority(self) -> acme_pb2.GetCertificateAuthorityResponse:
        """The installation's own authority; empty if it has none."""
        request = acme_pb2.GetCertificateAuthorityRequest()
        answer: acme_pb2.GetCertificateAuthorityResponse = await self._call(self._acme.GetCertificateAuthority, request)
        return answer

    # -- keys

    async def create_key(
        self,
        name: str,
        role: "key_pb2.KeyRole.ValueType",
        *,
        region: str | None = None,
        expires_in_s: int | None = None,
    ) -> key_pb2.CreateKeyResponse:
        """Create a key; only this response contains its secret. Not retried."""
        request = key_pb2.CreateKeyRequest(name=name, role=role)
        if region:
            request.region = region
        if expires_in_s is not None:
            request.expires_in_s = expires_in_s
        answer: key_pb2.CreateKeyResponse = await self._call(self._keys.CreateKey, request, retry=ONCE)
        return answer

    async def current_key(self) -> key_pb2.GetCurrentKeyResponse:
        """The key of this client, its workspace and the server."""
        request = key_pb2.GetCurrentKeyRequest()
        answer: key_pb2.GetCurrentKeyResponse = await self._call(self._keys.GetCurrentKey, request)
        return answer

    async def keys(self) -> list[key_pb2.Key]:
        """The workspace's keys, newest first."""
        answer: key_pb2.ListKeysResponse = await self._call(self._keys.ListKeys, key_pb2.ListKeysRequest())
        return list(answer.keys)

    async def revoke_key(self, key_id: str) -> key_pb2.Key:
        """Revoke a key. Idempotent."""
        answer: key_pb2.RevokeKeyResponse = await self._call(
            self._keys.RevokeKey, key_pb2.RevokeKeyRequest(key_id=key_id)
        )
        return answer.key
