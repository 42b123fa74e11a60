"""What each kind of sealed value is bound to. Every kind stands here once, and nowhere else. Pure."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class AssociatedData:
    """The place that a sealed value belongs to: authenticated with it, so that a copy in another row does not open.

    Make one by the kind's own constructor; a new kind is one more constructor here. The texts are in databases: they
    never change.
    """

    text: str

    @classmethod
    def environment_variable(cls, environment_id: str, name: str) -> Self:
        """One variable of an environment."""
        return cls(_joined("variable", environment_id, name))

    @classmethod
    def deployment_variables(cls, deployment_id: str) -> Self:
        """All variables of a deployment, as they were when it was created."""
        return cls(_joined("snapshot", deployment_id))

    @classmethod
    def build_secret(cls, build_id: str, secret_id: str) -> Self:
        """One secret of a build."""
        return cls(_joined("build-secret", build_id, secret_id))

    @classmethod
    def certificate_key(cls, certificate_id: str) -> Self:
        """The private key of a certificate."""
        return cls(_joined("certificate-key", certificate_id))

    @classmethod
    def certificate_order_key(cls, order_id: str) -> Self:
        """The private key that an order asks a certificate for."""
        return cls(_joined("certificate-order-key", order_id))

    @classmethod
    def acme_account_key(cls, directory: str) -> Self:
        """The private key of the account at an ACME server."""
        return cls(_joined("acme-account-key", directory))

    @classmethod
    def local_authority_key(cls) -> Self:
        """The private key of the installation's own certificate authority."""
        return cls("local-authority-key")

    def __str__(self) -> str:
        return self.text


def _joined(kind: str, *ids: str) -> str:
    # only the last one may hold a colon: two places must not have the same text
    if any(not one or ":" in one for one in ids[:-1]):
        raise ValueError(f"{kind}: {ids[:-1]} must be ids")
    return ":".join((kind, *ids))
