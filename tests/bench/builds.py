"""Builds without a deployment, through the client."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sealift.client.archive import pack
from sealift.client.client import Client
from sealift.client.context import scan
from sealift.client.credentials import Endpoint
from sealift.client.follow import follow_build
from sealift.client.upload import upload_archive
from sealift.ctrl.v1 import build_pb2 as pb
from tests.harness.apps import BUSYBOX
from tests.harness.stack import Stack

WITHIN_S = 600
HEAD = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nCOPY busybox /bin/sleep\nARG NONCE\n"


class Builder:
    """Builds of one context; each has its own argument NONCE, so that no step after it is cached."""

    def __init__(self, client: Client, project_id: str, context_path: str) -> None:
        self._client = client
        self._project_id = project_id
        self._context_path = context_path

    async def begin(self) -> str:
        """The id of a new build."""
        context = pb.BuildContext(build_context_path=self._context_path, build_args={"NONCE": secrets.token_hex(8)})
        request = pb.CreateBuildRequest(project_id=self._project_id, build_context=context)
        return (await self._client.create_build(request)).build.build_id

    async def end(self, build_id: str) -> pb.Build:
        """The build once it has succeeded; raises RuntimeError if it did not."""
        async with asyncio.timeout(WITHIN_S):
            async for build in follow_build(self._client, build_id, changed=asyncio.Event(), poll_s=1):
                last = build
        if last.status != pb.BUILD_STATUS_SUCCEEDED:
            raise RuntimeError(f"{last.build_id}: {last.error.code} {last.error.message}")
        return last


@asynccontextmanager
async def builder(stack: Stack, project: str, directory: Path, step: str) -> AsyncIterator[Builder]:
    """Of a context with one step, in a project that exists."""
    directory.mkdir(exist_ok=True)
    shutil.copy2(BUSYBOX, directory / "busybox")
    (directory / "Dockerfile").write_text(f"{HEAD}{step}\n")
    key = (stack.state / "secrets" / "admin.key").read_text().strip()
    async with Client(Endpoint(f"http://{stack.endpoints['api']}", key)) as client:
        project_id = (await client.project(project)).project_id
        with pack(scan(directory), max_bytes=1 << 30) as archive:
            answer = await client.upload_url(project_id, sha256=archive.sha256, size_bytes=archive.size_bytes)
            if not answer.already_uploaded:
                await asyncio.to_thread(upload_archive, archive, answer.upload_url)
        yield Builder(client, project_id, answer.build_context_path)
