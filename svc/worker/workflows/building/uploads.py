"""From an upload to the context that it claims to be, where the store can't bind the one to the other.

No client can write to the path of a context: what is there was hashed on its way, byte by byte.
"""

import logging
from collections.abc import AsyncGenerator

from pkg.builds import uploads
from pkg.builds.model import Context
from pkg.contexts import ContextRejected
from pkg.errors import InvalidArgument, NotFound
from pkg.observability.logging import fields
from pkg.storage.errors import not_found
from svc.worker.deps import WorkerDeps

log = logging.getLogger(__name__)


async def take_in(deps: WorkerDeps, context: Context) -> None:
    """Stores the first upload that is the context under the context's path, unless it is there. Idempotent.

    Raises:
        ContextRejected: `context.wrong_content`: there are uploads, and none is the context.
        NotFound: `object.not_found`: nothing was uploaded.
    """
    if deps.store.capabilities.binds_uploads or await deps.store.head(context.path) is not None:
        return
    wrong: InvalidArgument | None = None
    for path in await deps.db.read(uploads.of_context, context.path):
        try:
            with deps.tracing.span("store.verify", build_context_path=context.path):
                await _store_verified(deps, path, context)
        except NotFound:
            continue  # announced, and not sent yet or not at all
        except InvalidArgument as error:
            log.warning("upload refused: %s", error.message, extra=fields(build_context_path=context.path))
            wrong = error
            await deps.db.write(uploads.forget, path)
            await deps.store.delete(path)
            continue
        for done in await deps.db.write(uploads.forget_of_context, context.path):
            await deps.store.delete(done)
        return
    if wrong is None:
        raise not_found(context.path)
    raise ContextRejected(
        "wrong_content", f"the uploaded archive is not the one that was announced: {wrong.message}. Try again"
    )


async def _store_verified(deps: WorkerDeps, path: str, context: Context) -> None:
    upload = await deps.store.head(path)
    if upload is None:
        raise not_found(path)
    pieces = deps.store.open_read(path)
    try:
        # the hash decides: the announced size is that of whoever announced this context last
        await deps.store.put(context.path, pieces, size_bytes=upload.size_bytes, sha256=context.sha256)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
