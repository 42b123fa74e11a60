"""Runs a deploy from source, image or an earlier build: upload, create, follow."""

import asyncio
from dataclasses import replace
from pathlib import Path

from sealift.cli.deploy.context_upload import ContextUpload
from sealift.cli.deploy.deployment_watch import DeploymentWatch
from sealift.cli.deploy.plan import Plan
from sealift.cli.deploy.request import StoredContext, create_request
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.text import CACHE_IS_USED, queued_text, repeated_text
from sealift.cli.output.port import Output
from sealift.cli.recorded import Recorded
from sealift.cli.session import find_project
from sealift.client.client import Client
from sealift.client.errors import InputError, ServerError
from sealift.client.git import GitInfo
from sealift.ctrl.v1 import deployment_pb2


class Deploy:
    """Executes one plan."""

    def __init__(self, client: Client, output: Output, began: float) -> None:
        self._client = client
        self._output = output
        self._began = began
        self._is_requested = False

    async def run(self, plan: Plan, directory: Path, *, detach: bool, wait_timeout_s: float) -> int:
        """Deploy and return the exit code.

        Args:
            plan: what to do; branch and commit that it omits are read from git.
            directory: the build context; ignored for an image that exists.
            detach: return once the server has recorded the deployment.
            wait_timeout_s: see `DeploymentWatch.follow`.
        """
        with ContextUpload(self._client, self._output) as upload, self._client.tracing.span("sealift deploy"):
            deployment = await self._create(plan, directory, upload)
            self._output.created(Recorded.deployment(deployment.deployment_id, deployment.build_id))
            if detach:
                if deployment.queued_reason:
                    self._output.note(queued_text(deployment.queued_reason))
                self._output.detached(Recorded.deployment(deployment.deployment_id))
                return 0
            root = None if plan.build_plan else upload.root  # of a Dockerfile whose command may be at fault
            watch = DeploymentWatch(self._client, self._output, self._began, root)
            with self._client.tracing.span("sealift wait", deployment_id=deployment.deployment_id):
                code = await watch.follow(deployment.deployment_id, wait_timeout_s)
            if code in (ExitCode.OK, ExitCode.BUILD_FAILED):
                await upload.mark_finished()
            return code

    async def _create(self, plan: Plan, directory: Path, upload: ContextUpload) -> deployment_pb2.Deployment:
        try:
            if plan.has_image:
                return await self._create_from_image(plan)
            plan, project_id, stored = await upload.run(plan, directory)
            return await self._record(plan, project_id, stored)
        except asyncio.CancelledError:
            known = "the deployment may exist, see: sealift ls" if self._is_requested else "nothing was deployed"
            self._output.stopped_waiting(Recorded.deployment(""), f"interrupted; {known}", ExitCode.INTERRUPTED)
            raise

    async def _create_from_image(self, plan: Plan) -> deployment_pb2.Deployment:
        """Create a deployment of a built image. Git is not read: the image may not be from this checkout."""
        plan = plan.with_git(GitInfo(commit_sha=plan.commit), {})
        if plan.build_id and not plan.project:
            build = await self._client.build(plan.build_id)
            plan = replace(plan, project=(await self._client.project(build.project_id)).slug)
        self._output.heading(plan.title())
        project = await find_project(self._client, plan.project)
        try:
            return await self._record(plan, project.project_id, None)
        except InputError as error:
            if plan.build_id and error.field == "source":  # the field is unknown to it
                raise ServerError(
                    f"{self._client.endpoint.url} can't deploy a build by its id: it is an older Sealift server. "
                    "Upgrade it, or deploy the directory",
                    code="client.older_server",
                    request_id=error.request_id,
                ) from None
            raise

    async def _record(self, plan: Plan, project_id: str, stored: StoredContext | None) -> deployment_pb2.Deployment:
        """Create the deployment; warn if the user's own idempotency key belongs to an earlier one."""
        self._is_requested = True
        answer = await self._client.create_deployment(create_request(plan, project_id, stored))
        if answer.already_recorded and plan.idempotency_key is not None:
            made = Recorded.deployment(answer.deployment.deployment_id)
            self._output.warn(repeated_text(plan.idempotency_key, made, answer.deployment.created_at))
        if plan.no_cache and not (await self._client.build(answer.deployment.build_id)).no_cache:
            self._output.warn(CACHE_IS_USED)
        return answer.deployment
