"""One solve: what the builder is given, and how a cancel ends it.

Secrets are opened here and nowhere else; nothing of this is journaled.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection

from pkg.builders.port import CANCELLED_BY_USER, BuildSpec
from pkg.builds import contexts
from pkg.builds import queries as builds
from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.builds.model import Build, SealedSecret
from pkg.db import Database
from pkg.errors import FailedPrecondition
from pkg.images import INSTALLATION_LABEL, build_image
from pkg.installation import Installation
from pkg.installation import queries as installation
from pkg.secrets import AssociatedData
from pkg.workspaces import queries as workspaces
from svc.worker.deps import WorkerDeps

POLL_S = 5.0  # a commit wakes it at once; this is for a lost notification

T = TypeVar("T")


async def spec_for(deps: WorkerDeps, build: Build) -> BuildSpec:
    """The attempt that `build` is in; the builder signs its context URL once it is ready."""

    def read(connection: Connection) -> tuple[list[SealedSecret], Installation, bool]:
        this = installation.get(connection)
        assert this is not None  # the api writes it before any build
        return builds.secrets(connection, build.id), this, workspaces.are_several(connection)

    sealed, this, is_shared = await deps.db.read(read)
    registry = deps.config.registry

    def sign_context_url(*, with_etag: bool) -> str:
        ttl_s = deps.config.objects.build_context_url_ttl_s
        try:
            return deps.store.presign_get(build.build_context_path, ttl_s=ttl_s, with_etag=with_etag)
        except FailedPrecondition as error:
            raise BuilderUnavailable(FailureKind.CONTEXT_UNAVAILABLE, error.message) from None

    return BuildSpec(
        project_id=build.project_id,
        build_id=build.id,
        attempt=build.attempt,
        image_name=build_image(build.project_id, build.id, registry.url if registry else ""),
        sign_context_url=sign_context_url,
        context_sha256=contexts.sha256_of(build.build_context_path),
        dockerfile_path=build.dockerfile_path,
        build_args=build.build_args_json,
        secrets={s.secret_id: _open(deps, s) for s in sealed},
        target=build.target or None,
        platform=build.platform or deps.config.build.default_platform,
        timeout_s=deps.config.build.timeout_s,
        is_shared=is_shared,
        no_cache=build.no_cache,
        # no label names the build: the same content gives the same image
        labels={INSTALLATION_LABEL: this.installation_id, "sealift.project": build.project_id},
        traceparent=deps.tracing.traceparent() or build.traceparent,
    )


def _open(deps: WorkerDeps, secret: SealedSecret) -> bytes:
    return deps.vault.open(
        secret.data_key, secret.sealed, AssociatedData.build_secret(secret.build_id, secret.secret_id)
    )


class CancelRequestedError(Exception):
    """A user has cancelled the build, or a newer deploy has superseded it."""


async def until_cancelled(db: Database, build_id: str, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled, and awaited, once a cancel of the build is requested.

    Raises CancelRequestedError then; also when the row has ended.
    """
    working = asyncio.create_task(work, name=f"build-{build_id}")
    watching = asyncio.create_task(_cancel_requested(db, build_id), name=f"build-cancel-{build_id}")
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        watching.result()
        working.cancel(CANCELLED_BY_USER)
        raise CancelRequestedError(build_id)
    finally:
        for task in (working, watching):
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _cancel_requested(db: Database, build_id: str) -> None:
    def read(connection: Connection) -> bool:
        found = builds.get(connection, build_id)
        return found is None or found.status.is_terminal or found.cancel_requested_at is not None

    while True:
        position = db.commits.position
        if await db.read(read):
            return
        await db.commits.wait(position, POLL_S)
