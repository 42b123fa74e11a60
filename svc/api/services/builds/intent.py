"""From a checked request to what is recorded: secrets sealed."""

from pkg.builds.model import SealedSecret
from pkg.intents import BuildIntent
from pkg.secrets import Vault
from svc.api.services.builds.validation import WantedBuild


def build_intent(wanted: WantedBuild, build_id: str, vault: Vault) -> BuildIntent:
    """The build as it is stored. Its secrets have a data key of their own, deleted with them at the build's end."""
    data_key = vault.new_data_key() if wanted.secrets else b""
    return BuildIntent(
        build_context_path=wanted.build_context_path,
        dockerfile_path=wanted.dockerfile_path,
        target=wanted.target,
        platform=wanted.platform,
        build_args=wanted.build_args,
        secrets=tuple(
            SealedSecret(
                build_id=build_id,
                secret_id=secret_id,
                data_key=data_key,
                sealed=vault.seal(data_key, value, f"build-secret:{build_id}:{secret_id}"),
            )
            for secret_id, value in wanted.secrets.items()
        ),
    )
