"""What the builder is told. Secrets are opened here and nowhere else; nothing of this is journaled."""

from sqlalchemy import Connection

from pkg.build import BuildSpec
from pkg.builds import queries as builds
from pkg.builds.queries import Build, SealedSecret
from pkg.ids import dns_label
from svc.worker.parts import Parts


async def spec_for(parts: Parts, build: Build) -> BuildSpec:
    """The attempt that `build` is in; its context URL is signed now and lives as long as the attempt."""

    def read(connection: Connection) -> list[SealedSecret]:
        return builds.secrets(connection, build.id)

    sealed = await parts.db.read(read)
    timeout_s = parts.config.build.timeout_s
    return BuildSpec(
        build_id=build.id,
        attempt=build.attempt,
        image_name=f"sealift/{dns_label(build.project_id)}:{dns_label(build.id)}",
        context_url=parts.store.presign_get(build.build_context_path, ttl_s=timeout_s),
        dockerfile_path=build.dockerfile_path,
        build_args=build.build_args_json,
        secrets={s.secret_id: _open(parts, s) for s in sealed},
        target=build.target or None,
        platform=build.platform or None,
        timeout_s=timeout_s,
        labels={"sealift.project": build.project_id},  # none of the build: the same content gives the same image
        traceparent=parts.tracing.traceparent() or build.traceparent,
    )


def _open(parts: Parts, secret: SealedSecret) -> bytes:
    return parts.vault.open(secret.data_key, secret.sealed, f"build-secret:{secret.build_id}:{secret.secret_id}")
