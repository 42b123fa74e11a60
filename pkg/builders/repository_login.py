"""What a builder's daemon may do in the registry: read and write the repository of the project that it builds for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from pkg.builders.push_failures import PUSH, push_failure
from pkg.builds.failures import BuilderUnavailable
from pkg.images import ImageRef
from pkg.images.ref import DOCKER_HUB
from pkg.registry import Credentials, RegistryConfig, RegistryError
from pkg.registry.client import DOCKER_HUB_API, RegistryClient, repository_of
from pkg.registry.errors import Purpose

# Of no project: what the account may do is tried with it.
CHECK_REPOSITORY = "sealift-check"


def registry_client(registry: RegistryConfig, purpose: Purpose) -> RegistryClient:
    """A client with the account of `[registry]`. Close it."""
    account = Credentials(registry.username, registry.password)
    return RegistryClient(registry.host, account, purpose=purpose, ca_file=registry.ca_file)


async def check_account(registry: RegistryConfig) -> None:
    """Tries whether the account of `[registry]` may push below its URL; nothing is left there.

    Raises:
        BuilderUnavailable: with what is wrong.
    """
    repository = repository_of(ImageRef(f"{registry.url}/{CHECK_REPOSITORY}"))
    try:
        async with registry_client(registry, PUSH) as client:
            await client.check_push(repository)
    except RegistryError as error:
        raise BuilderUnavailable(push_failure(error).kind, error.message) from error


class RepositoryLogin:
    """`SessionLogin` of one build, as an async context.

    A daemon gets tokens of the account of `[registry]` for the project's own repository, to pull and to push. For other
    repositories it gets tokens without an account: what everybody may read there, a FROM may, too. There is one
    exception. A push of a layer that the daemon has from another repository of the registry lets the registry copy it
    from there, and asks for a token for both. It is the last thing that a build does, so no FROM can use that token.

    Attributes:
        client: with the account.
        problem: the last one with the token server, of which the daemon tells less.
    """

    def __init__(self, registry: RegistryConfig, repository: str, purpose: Purpose) -> None:
        """A login for `repository`, which is without the host; it must be made inside a running loop."""
        self._registry = registry
        self._repository = repository
        self.client = registry_client(registry, purpose)
        self._anonymous = RegistryClient(registry.host, purpose=purpose, ca_file=registry.ca_file)
        self._scheme: str | None = None
        self._asking = asyncio.Lock()
        self.problem: RegistryError | None = None

    async def __aenter__(self) -> "RepositoryLogin":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.client.close()
        await self._anonymous.close()

    def is_for(self, host: str) -> bool:
        """See `SessionLogin.is_for`."""
        return host == self._registry.host or (self._registry.host == DOCKER_HUB and host == DOCKER_HUB_API)

    async def wants_token(self) -> bool:
        """See `SessionLogin.wants_token`; the registry is asked once."""
        async with self._asking:
            if self._scheme is None:
                try:
                    self._scheme = await self.client.login_scheme()
                except RegistryError as error:
                    self.problem = error
                    raise
        return self._scheme == "bearer"

    async def basic(self) -> tuple[str, str]:
        """See `SessionLogin.basic`."""
        return self._registry.username, self._registry.password.reveal()

    async def token(self, scopes: Sequence[str]) -> tuple[str, int]:
        """See `SessionLogin.token`."""
        given = permitted(scopes, self._repository)
        try:
            token = await self.client.token(given) if given else await self._anonymous.token(scopes)
        except RegistryError as error:
            self.problem = error
            raise
        return token.value, int(token.lifetime_s)


def permitted(scopes: Sequence[str], repository: str) -> list[str]:
    """What of these scopes a build of the project with this repository gets a token for, with the account."""
    asked = [_Scope.parse(scope) for scope in scopes]
    own = [scope.only("pull", "push") for scope in asked if scope.repository == repository]
    is_push = any("push" in scope.actions for scope in own)
    sources = [scope.only("pull") for scope in asked if scope.repository not in ("", repository)] if is_push else []
    return [str(scope) for scope in (*own, *sources) if scope.actions]


@dataclass(frozen=True, slots=True)
class _Scope:
    repository: str  # "" for a scope that is about something else
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "_Scope":
        kind, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")  # a name may hold a port
        return cls(name if kind == "repository" else "", tuple(actions.split(",")))

    def __str__(self) -> str:
        return f"repository:{self.repository}:{','.join(self.actions)}"

    def only(self, *actions: str) -> "_Scope":
        return _Scope(self.repository, tuple(action for action in self.actions if action in actions))
