"""From a registry's problem to the error of a build that could not push. Pure."""

from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.registry import RegistryError, RegistryProblem
from pkg.registry.errors import Purpose, failure, of_text

PUSH = Purpose("[registry]", "push to this repository")

_KINDS = {
    RegistryProblem.UNAUTHORIZED: FailureKind.PUSH_UNAUTHORIZED,
    RegistryProblem.DENIED: FailureKind.PUSH_DENIED,
    RegistryProblem.NO_REPOSITORY: FailureKind.PUSH_NO_REPOSITORY,
    RegistryProblem.TOO_LARGE: FailureKind.PUSH_TOO_LARGE,
    RegistryProblem.UNTRUSTED: FailureKind.PUSH_UNTRUSTED,
    RegistryProblem.PLAIN_HTTP: FailureKind.PUSH_UNTRUSTED,
    RegistryProblem.OTHER_SCHEME: FailureKind.PUSH_UNTRUSTED,
    RegistryProblem.IMMUTABLE: FailureKind.PUSH_DENIED,
    RegistryProblem.RATE_LIMITED: FailureKind.PUSH_RATE_LIMITED,
    RegistryProblem.UNRESOLVED: FailureKind.PUSH_REGISTRY_AWAY,
    RegistryProblem.UNREACHABLE: FailureKind.PUSH_REGISTRY_AWAY,
    RegistryProblem.UNAVAILABLE: FailureKind.PUSH_REGISTRY_AWAY,
    RegistryProblem.FULL: FailureKind.PUSH_REGISTRY_FULL,
}


def push_failure(error: RegistryError) -> BuildFailed | BuilderUnavailable:
    """The error of the build: with the registry's problem as its kind, and its words after what that means here."""
    kind = _KINDS.get(error.problem, FailureKind.PUSH_FAILED)
    message = f"The image was built, but it could not be pushed. {error.message}"
    return BuilderUnavailable(kind, message) if kind.is_ours else BuildFailed(kind, message)


def push_failure_of_text(text: str, repository: str) -> BuildFailed | BuilderUnavailable:
    """The same from an engine's or a BuildKit's message, which is redacted; `repository` is with its host."""
    return push_failure(failure(of_text(text), repository, PUSH, said=text))
