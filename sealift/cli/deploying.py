"""Runs a deploy from source or image: scan, pack, upload, create, follow."""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sealift.cli.deployment_watch import DeploymentWatch
from sealift.cli.exit_codes import ExitCode
from sealift.cli.output.port import Output
from sealift.cli.plan import Plan
from sealift.cli.request import StoredContext, create_request
from sealift.cli.session import find_environment, find_project
from sealift.cli.text import context_text, queued_text, repeated_text
from sealift.client.archive import Archive, pack
from sealift.client.archive_records import ArchiveRecord, ArchiveRecords
from sealift.client.client import Client
from sealift.client.context import Context, scan, size_text
from sealift.client.digests import tree_sha256
from sealift.client.errors import InputError
from sealift.client.git import GitInfo, read_git
from sealift.client.mtimes import ModificationTimes
from sealift.client.upload import UploadExpiredError, upload_archive
from sealift.ctrl.v1 import deployment_pb2

MAX_SCANS = 3  # of a context that changes while it is packed
MAX_UPLOAD_URLS = 2  # requested before an expired one is an error

T = TypeVar("T")


class Deploy:
    """Executes one plan. Blocking work runs in threads that this object owns and stops."""

    def __init__(self, client: Client, output: Output, began: float) -> None:
        self._client = client
        self._output = output
        self._began = began
        self._is_requested = False
        self._archive_records = ArchiveRecords()
        self._mtimes = ModificationTimes()
        self._root: Path | None = None  # of the context, once it is known
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="sealift-deploy")

    async def run(self, plan: Plan, directory: Path, *, detach: bool, wait_timeout_s: float) -> int:
        """Deploy and return the exit code.

        Args:
            plan: what to do; branch and commit that it omits are read from git.
            directory: the build context; ignored for an image.
            detach: return once the server has recorded the deployment.
            wait_timeout_s: see `DeploymentWatch.follow`.
        """
        try:
            with self._client.tracing.span("sealift deploy"):
                deployment = await self._create(plan, directory)
                self._output.created(deployment.deployment_id, deployment.build_id)
                if detach:
                    if deployment.queued_reason:
                        self._output.note(queued_text(deployment.queued_reason))
                    self._output.detached(deployment.deployment_id)
                    return 0
                watch = DeploymentWatch(self._client, self._output, self._began, self._root)
                with self._client.tracing.span("sealift wait", deployment_id=deployment.deployment_id):
                    code = await watch.follow(deployment.deployment_id, wait_timeout_s)
                if self._root and code in (ExitCode.OK, ExitCode.BUILD_FAILED):
                    await self._blocking(self._mtimes.mark_finished, self._root)
                return code
        finally:
            self._stop.set()
            self._threads.shutdown(cancel_futures=True)

    async def _create(self, plan: Plan, directory: Path) -> deployment_pb2.Deployment:
        create = self._create_from_image if plan.image else self._create_from_source
        try:
            return await create(plan, directory)
        except asyncio.CancelledError:
            known = "the deployment may exist, see: sealift ls" if self._is_requested else "nothing was deployed"
            self._output.stopped_waiting("", f"interrupted; {known}", ExitCode.INTERRUPTED)
            raise

    async def _record(
        self, request: deployment_pb2.CreateDeploymentRequest, key: str | None
    ) -> deployment_pb2.Deployment:
        """Create the deployment; warn if `key`, the user's own idempotency key, belongs to an earlier one."""
        self._is_requested = True
        answer = await self._client.create_deployment(request)
        if answer.already_recorded and key is not None:
            self._output.warn(repeated_text(key, answer.deployment))
        return answer.deployment

    async def _create_from_image(self, plan: Plan, _: Path) -> deployment_pb2.Deployment:
        """Create a deployment of a built image. Git is not read: the image may not be from this checkout."""
        plan = plan.with_git(GitInfo(commit_sha=plan.commit), {})
        self._output.heading(plan.title())
        project = await find_project(self._client, plan.project)
        return await self._record(create_request(plan, project.project_id, None), plan.idempotency_key)

    async def _create_from_source(self, plan: Plan, directory: Path) -> deployment_pb2.Deployment:
        """Create a deployment after its context is in the object store. Git, disk and server are read concurrently."""
        asking = asyncio.ensure_future(self._ask_server(plan))
        scanning = asyncio.ensure_future(self._blocking(scan, directory, plan.dockerfile, use_git=plan.use_git))
        try:
            git = await self._blocking(read_git, directory, plan.commit) if plan.use_git else GitInfo(plan.commit)
            plan = plan.with_git(git)
            self._output.heading(plan.title())
            if plan.branch_note:
                self._output.note(plan.branch_note)
            context = await scanning
            self._output.note(context_text(context))
            for note in context.notes:
                self._output.warn(note)
            project_id, max_bytes = await asking
        finally:
            await _end(asking)
            await _end(scanning)
        stored = await self._stored(plan, directory, context, project_id, max_bytes)
        return await self._record(create_request(plan, project_id, stored, context.dockerfile), plan.idempotency_key)

    async def _stored(
        self, plan: Plan, directory: Path, context: Context, project_id: str, max_bytes: int
    ) -> StoredContext:
        """Upload the context unless the object store has it. A context that changes meanwhile is scanned again."""
        for left in reversed(range(MAX_SCANS)):
            context = await self._blocking(self._mtimes.adjusted, context)
            self._root = context.root
            if stored := await self._stored_before(context, project_id):
                return stored
            try:
                with self._client.tracing.span("pack", files=len(context.files)):
                    archive = await self._pack(context, max_bytes)
                break
            except InputError as error:
                if error.code != "context.changed" or not left:
                    raise
                self._output.note(f"{error.message.partition('; ')[0]}; scanning again")
                context = await self._blocking(scan, directory, plan.dockerfile, use_git=plan.use_git)
        with archive:
            path = await self._store(archive, project_id)
        packed = ArchiveRecord(archive.sha256, archive.size_bytes, tree_sha256(context, archive.digests))
        await self._blocking(self._archive_records.save, context, packed)
        await self._blocking(self._mtimes.save, context, archive.digests)
        return StoredContext(path, packed.tree_sha256)

    async def _ask_server(self, plan: Plan) -> tuple[str, int]:
        """The project's id and the largest accepted archive; fails early if project or environment is unknown."""
        project = await find_project(self._client, plan.project)
        info, _ = await asyncio.gather(
            self._client.server_info(), find_environment(self._client, project, plan.environment)
        )
        return project.project_id, info.max_context_bytes

    async def _stored_before(self, context: Context, project_id: str) -> StoredContext | None:
        """The stored archive of this exact tree, if it was packed before and the server still has it."""
        packed = await self._blocking(self._archive_records.find, context)
        if packed is None:
            return None
        try:
            answer = await self._client.upload_url(project_id, sha256=packed.sha256, size_bytes=packed.size_bytes)
        except InputError:  # the record is wrong, or the tree exceeds a limit now: packing reports it
            return None
        if not answer.already_uploaded:
            return None
        self._output.note(f"unchanged: nothing to pack or upload, the server has these {size_text(packed.size_bytes)}")
        await self._blocking(self._archive_records.save, context, packed)
        await self._blocking(self._mtimes.save, context, {})
        return StoredContext(answer.build_context_path, packed.tree_sha256)

    async def _pack(self, context: Context, max_bytes: int) -> Archive:
        progress = functools.partial(self._output.progress, "packed")
        packing = asyncio.ensure_future(
            self._blocking(pack, context, max_bytes=max_bytes, progress=progress, stop=self._stop)
        )
        try:
            return await asyncio.shield(packing)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait({packing})
            if not packing.cancelled() and not packing.exception():
                packing.result().close()
            raise

    async def _store(self, archive: Archive, project_id: str) -> str:
        """Upload the archive unless the object store has it; return its build_context_path."""
        for left in reversed(range(MAX_UPLOAD_URLS)):
            answer = await self._client.upload_url(project_id, sha256=archive.sha256, size_bytes=archive.size_bytes)
            if answer.already_uploaded:
                self._output.note(f"nothing to upload, the server has these {size_text(archive.size_bytes)}")
                break
            try:
                with self._client.tracing.span("upload", size_bytes=archive.size_bytes):
                    await self._upload(archive, answer.upload_url)
                break
            except UploadExpiredError:
                if not left:
                    raise
        return answer.build_context_path

    async def _upload(self, archive: Archive, url: str) -> None:
        progress = functools.partial(self._output.progress, "uploaded")
        sending = asyncio.ensure_future(
            self._blocking(
                upload_archive, archive, url, progress=progress, stop=self._stop,
                traceparent=self._client.tracing.traceparent(),
            )
        )  # fmt: skip
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._stop.set()
            await _wait_ended(sending)  # the upload reads a file that is closed next
            raise

    async def _blocking(self, work: Callable[..., T], *args: object, **named: object) -> T:
        """Run blocking work in a thread of this object."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(work, *args, **named))


async def _end(task: asyncio.Future[T]) -> None:
    """Cancel a task and wait for its end; its error, if any, is dropped."""
    task.cancel()
    await _wait_ended(task)


async def _wait_ended(task: asyncio.Future[T]) -> None:
    """Wait until a task has ended; its error, if any, is dropped."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
