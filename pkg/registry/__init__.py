"""The image registry of an installation: where builders push images, and from where kranes pull them."""

from pkg.registry.config import RegistryConfig

__all__ = ["RegistryConfig"]
