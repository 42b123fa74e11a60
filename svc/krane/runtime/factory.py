"""Which runtimes there are. To add one: an adapter folder beside `docker`, and a line in `BACKENDS`."""

from collections.abc import Callable, Mapping

from pkg.config import ConfigError
from svc.krane.config import KraneConfig
from svc.krane.runtime.docker import runtime as docker
from svc.krane.runtime.port import Runtime, RuntimeContext
from svc.krane.runtime.replicas import Alone, ReplicaContext, Replicas


def _kubernetes(config: KraneConfig, context: RuntimeContext) -> Runtime:
    from svc.krane.runtime.kubernetes import runtime as kubernetes  # its models take 25 MB that a Docker engine spares

    return kubernetes.make(config, context)


# By the word of `[runtime] backend`, which is also that of RegisterRequest.runtime.
BACKENDS: Mapping[str, Callable[[KraneConfig, RuntimeContext], Runtime]] = {
    "docker": docker.make,
    "kubernetes": _kubernetes,
}


def _kubernetes_replicas(config: KraneConfig, context: ReplicaContext) -> Replicas:
    from svc.krane.runtime.kubernetes import leadership

    return leadership.make(config, context)


# Of the backends that several kranes of a region share.
REPLICAS: Mapping[str, Callable[[KraneConfig, ReplicaContext], Replicas]] = {
    "kubernetes": _kubernetes_replicas,
}


def is_shared(config: KraneConfig) -> bool:
    """Whether several kranes may serve the region with this backend."""
    return config.runtime.backend in REPLICAS


def replicas(config: KraneConfig, context: ReplicaContext) -> Replicas:
    """What this krane shares with the others of its region, not begun yet. Must be called inside a running loop."""
    of_backend = REPLICAS.get(config.runtime.backend)
    return Alone() if of_backend is None else of_backend(config, context)


def make(config: KraneConfig, context: RuntimeContext) -> Runtime:
    """The runtime that the configuration names, not opened yet. Must be called inside a running loop.

    Raises:
        ConfigError: `config.invalid`, there is none of that name.
    """
    backend = BACKENDS.get(config.runtime.backend)
    if backend is None:
        problem = f"runtime.backend: expected one of {', '.join(BACKENDS)}, got {config.runtime.backend!r}"
        raise ConfigError("config.invalid", problem, problems=[problem])
    return backend(config, context)
