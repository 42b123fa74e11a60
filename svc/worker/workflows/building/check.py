"""The archive is looked at once, before any builder sees it."""

from typing import Literal

import msgspec
from sqlalchemy import Connection

from pkg.builds import contexts
from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus, Context
from pkg.contexts import ContextRejected
from pkg.errors import NotFound, SealiftError
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.building.open import Opened
from svc.worker.workflows.ends import End, GiveUpError


class Checked(msgspec.Struct, frozen=True):
    """Whether a builder may see it."""

    outcome: Literal["good", "refused", "stopped"]


async def check_archive(journal: Journal, opened: Opened) -> None:
    """Raises GiveUpError(OVER) when the archive is refused: the row says why."""
    checked = await journal.step("check archive", check, opened.build_id)
    if checked.outcome == "refused":
        raise GiveUpError(End.OVER)
    if checked.outcome == "stopped":
        raise GiveUpError(End.STOPPED)


async def check(deps: WorkerDeps, build_id: str) -> Checked:
    """Checks the stored archive unless it was found good before; a refusal ends the build. Idempotent."""

    def read(connection: Connection) -> tuple[Build, Context | None]:
        build = builds.get(connection, build_id)
        assert build is not None
        return build, contexts.get(connection, build.build_context_path)

    build, context = await deps.db.read(read)
    if build.status.is_terminal or build.cancel_requested_at is not None:
        return Checked("stopped")
    if context is not None and context.checked_at is not None:
        return Checked("good")
    try:
        with deps.tracing.span("store.check", build_context_path=build.build_context_path):
            await deps.checker.check(build.build_context_path, build.dockerfile_path)
    except (ContextRejected, NotFound) as refused:
        await deps.db.write(_refuse, deps, build_id, refused)
        return Checked("refused")
    await deps.db.write(lambda connection: contexts.mark_checked(connection, build.build_context_path, deps.clock()))
    return Checked("good")


def _refuse(connection: Connection, deps: WorkerDeps, build_id: str, why: SealiftError) -> None:
    builds.finish(
        connection, build_id, BuildStatus.FAILED, deps.clock(), error_code=why.code, error_message=why.message
    )
