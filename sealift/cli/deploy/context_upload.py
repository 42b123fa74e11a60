"""Brings a build context into the object store: scan, pack, upload; for a deploy and for a build."""

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from sealift.cli.deploy.plan import Plan
from sealift.cli.deploy.request import StoredContext
from sealift.cli.format.text import context_text
from sealift.cli.output.port import Output
from sealift.cli.session import find_environment, find_project
from sealift.client.archive import Archive, pack
from sealift.client.archive_records import ArchiveRecord, ArchiveRecords
from sealift.client.client import Client
from sealift.client.context import Context, scan, size_text
from sealift.client.digests import tree_sha256
from sealift.client.errors import InputError, UnreachableError
from sealift.client.git import GitInfo, read_git
from sealift.client.mtimes import ModificationTimes
from sealift.client.upload import UploadExpiredError, upload_archive

MAX_SCANS = 3  # of a context that changes while it is packed
MAX_UPLOAD_URLS = 2  # requested before an expired one is an error

T = TypeVar("T")


class ContextUpload:
    """Uploads the context of one plan. A context manager; blocking work runs in threads that it owns and stops."""

    def __init__(self, client: Client, output: Output) -> None:
        self._client = client
        self._output = output
        self._archive_records = ArchiveRecords()
        self._mtimes = ModificationTimes()
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="sealift-upload")
        self.root: Path | None = None  # of the context, once it is known

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)

    async def run(self, plan: Plan, directory: Path) -> tuple[Plan, str, StoredContext]:
        """The plan with the facts of git, the project's id, and the context in the object store.

        Git, disk and server are read concurrently.
        """
        asking = asyncio.ensure_future(self._ask_server(plan))
        scanning = asyncio.ensure_future(self._scan(plan, directory))
        try:
            git = await self._blocking(read_git, directory, plan.commit) if plan.use_git else GitInfo(plan.commit)
            plan = plan.with_git(git)
            self._output.heading(plan.title())
            if plan.branch_note and plan.environment:
                self._output.note(plan.branch_note)
            for line in plan.build_lines():
                self._output.note(line)
            context = await scanning
            self._output.note(context_text(context))
            for note in context.notes:
                self._output.warn(note)
            project_id, max_bytes = await asking
        finally:
            await _end(asking)
            await _end(scanning)
        return plan, project_id, await self._stored(plan, directory, context, project_id, max_bytes)

    async def mark_finished(self) -> None:
        """Remember that what was uploaded has been built, for the modification times of the next one."""
        if self.root:
            await self._blocking(self._mtimes.mark_finished, self.root)

    async def _scan(self, plan: Plan, directory: Path) -> Context:
        return await self._blocking(
            scan, directory, plan.dockerfile, use_git=plan.use_git, generated=plan.generated_dockerfile
        )

    async def _ask_server(self, plan: Plan) -> tuple[str, int]:
        """The project's id and the largest accepted archive; fails early if project or environment is unknown."""
        project = await find_project(self._client, plan.project)
        info = asyncio.ensure_future(self._client.server_info())
        try:
            if plan.environment:
                await find_environment(self._client, project, plan.environment)
            return project.project_id, (await info).max_context_bytes
        finally:
            await _end(info)

    async def _stored(
        self, plan: Plan, directory: Path, context: Context, project_id: str, max_bytes: int
    ) -> StoredContext:
        """Upload the context unless the object store has it. A context that changes meanwhile is scanned again."""
        for left in reversed(range(MAX_SCANS)):
            context = await self._blocking(self._mtimes.adjusted, context)
            self.root = context.root
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
                context = await self._scan(plan, directory)
        with archive:
            path = await self._store(archive, project_id)
        packed = ArchiveRecord(archive.sha256, archive.size_bytes, tree_sha256(context, archive.digests))
        await self._blocking(self._archive_records.save, context, packed)
        await self._blocking(self._mtimes.save, context, archive.digests)
        return StoredContext(path, packed.tree_sha256, context.dockerfile)

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
        return StoredContext(answer.build_context_path, packed.tree_sha256, context.dockerfile)

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
        unreachable: UnreachableError | None = None
        tried = ""
        for left in reversed(range(MAX_UPLOAD_URLS)):
            answer = await self._client.upload_url(
                project_id, sha256=archive.sha256, size_bytes=archive.size_bytes, may_be_local=unreachable is None
            )
            if unreachable and _server(answer.upload_url) == tried:
                raise unreachable
            tried = _server(answer.upload_url)
            if answer.already_uploaded:
                self._output.note(f"nothing to upload, the server has these {size_text(archive.size_bytes)}")
                break
            try:
                with self._client.tracing.span("upload", size_bytes=archive.size_bytes):
                    await self._upload(archive, answer.upload_url, answer.upload_headers)
                break
            except UploadExpiredError:
                if not left:
                    raise
            except UnreachableError as error:
                # At the end of a tunnel that leads to the calls alone, the URL for everybody may do.
                if not left or not self._client.endpoint.address.is_local:
                    raise
                unreachable = error
        return answer.build_context_path

    async def _upload(self, archive: Archive, url: str, headers: Mapping[str, str]) -> None:
        progress = functools.partial(self._output.progress, "uploaded")
        sending = asyncio.ensure_future(
            self._blocking(
                upload_archive, archive, url, headers=headers, progress=progress, stop=self._stop,
                traceparent=self._client.tracing.traceparent(), ca_certificates=self._client.endpoint.ca_certificates,
                requires_tls=self._client.endpoint.address.is_tls,
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


def _server(url: str) -> str:
    """Of a presigned URL, whose other parts grant access."""
    return urlsplit(url).netloc


async def _end(task: asyncio.Future[T]) -> None:
    """Cancel a task and wait for its end; its error, if any, is dropped."""
    task.cancel()
    await _wait_ended(task)


async def _wait_ended(task: asyncio.Future[T]) -> None:
    """Wait until a task has ended; its error, if any, is dropped."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
