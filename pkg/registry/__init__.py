"""The image registry of an installation: where builders push images, and from where kranes pull them.

`client.RegistryClient` speaks to one registry; load it by its module. `errors` has the kinds of failures, their codes
and words; engines and BuildKits report the same ones as text. Fails with `RegistryError`.
"""

from pkg.registry.auth import Credentials
from pkg.registry.config import RegistryConfig
from pkg.registry.errors import RegistryError, RegistryProblem

__all__ = ["Credentials", "RegistryConfig", "RegistryError", "RegistryProblem"]
