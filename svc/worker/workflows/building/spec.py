"""What the builder is told. Secrets are opened here and nowhere else; nothing of this is journaled."""

from sqlalchemy import Connection

from pkg.builders import BuildSpec
from pkg.builds import queries as builds
from pkg.builds.model import Build, SealedSecret
from pkg.images import INSTALLATION_LABEL, build_image
from pkg.installation import Installation
from pkg.installation import queries as installation
from pkg.secrets import AssociatedData
from svc.worker.deps import WorkerDeps


async def spec_for(deps: WorkerDeps, build: Build) -> BuildSpec:
    """The attempt that `build` is in; its context URL is signed now and lives as long as the attempt."""

    def read(connection: Connection) -> tuple[list[SealedSecret], Installation]:
        this = installation.get(connection)
        assert this is not None  # whoever recorded the build has made it
        return builds.secrets(connection, build.id), this

    sealed, this = await deps.db.read(read)
    timeout_s = deps.config.build.timeout_s
    return BuildSpec(
        build_id=build.id,
        attempt=build.attempt,
        image_name=build_image(build.project_id, build.id),
        context_url=deps.store.presign_get(build.build_context_path, ttl_s=timeout_s),
        dockerfile_path=build.dockerfile_path,
        build_args=build.build_args_json,
        secrets={s.secret_id: _open(deps, s) for s in sealed},
        target=build.target or None,
        platform=build.platform or None,
        timeout_s=timeout_s,
        # none of the build: the same content gives the same image
        labels={INSTALLATION_LABEL: this.installation_id, "sealift.project": build.project_id},
        traceparent=deps.tracing.traceparent() or build.traceparent,
    )


def _open(deps: WorkerDeps, secret: SealedSecret) -> bytes:
    return deps.vault.open(
        secret.data_key, secret.sealed, AssociatedData.build_secret(secret.build_id, secret.secret_id)
    )
