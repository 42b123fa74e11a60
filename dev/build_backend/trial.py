"""Tries what the variables name, before they are written: each part by the check that a service makes at its start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import msgspec

from dev.build_backend.stack import stack_config
from pkg.config import Strict
from pkg.errors import SealiftError
from svc.standalone.config import StandaloneConfig, read_config

if TYPE_CHECKING:
    from pkg.depot.config import DepotConfig
    from pkg.images.config import RegistryLogin
    from pkg.storage.s3.config import S3Config

C = TypeVar("C", bound=Strict)

TIMEOUT_S = 60.0


def configured(values: Mapping[str, str]) -> StandaloneConfig:
    """The stack's configuration.

    Raises:
        ConfigError: with everything that is missing or wrong.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stack.toml"
        path.write_text(stack_config(values), encoding="utf-8")
        return read_config(path, {}, values)


async def problems(config: StandaloneConfig) -> dict[str, str]:
    """What was tried, and what is wrong with it ("" for nothing), each within 60 s.

    As the api does at its start, it makes the bucket unless that exists; it changes nothing else.
    """
    return {name: await _problem(check) for name, check in _checks(config).items()}


def _checks(config: StandaloneConfig) -> dict[str, Callable[[], Awaitable[None]]]:
    from pkg.builders.buildkit.config import BuildkitConfig
    from pkg.builders.buildkit.settings import BuildkitSettings
    from pkg.builders.repository_login import check_account
    from pkg.storage.s3.config import S3Config
    from pkg.storage.s3.settings import S3Settings

    checks: dict[str, Callable[[], Awaitable[None]]] = {}
    registry, depot, build, objects = config.registry, config.depot, config.build, config.objects
    if registry is not None:
        checks["registry"] = lambda: check_account(registry)
    for login in config.registries:
        checks[f"pulls from {login.host}"] = partial(_login, login, registry.ca_file if registry else None)
    if isinstance(build, BuildkitSettings):
        checks["buildkitd"] = _fields(build, BuildkitConfig).open(registry).check
    if depot is not None:
        checks["Depot"] = lambda: _projects(depot)
    if isinstance(objects, S3Settings):
        checks["object store"] = lambda: _bucket(_fields(objects, S3Config))
    return checks


async def _problem(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check()
    except SealiftError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:.0f} s"
    return ""


async def _login(login: "RegistryLogin", ca_file: Path | None) -> None:
    """Raises unless the registry knows the account. What it may pull is not known before there is an image."""
    from pkg.builders.repository_login import CHECK_REPOSITORY
    from pkg.registry.auth import Credentials
    from pkg.registry.client import RegistryClient
    from pkg.registry.errors import Purpose, RegistryError, RegistryProblem

    purpose = Purpose("[[registries]]", "pull")
    try:
        async with RegistryClient(
            login.host, Credentials(login.username, login.password), purpose=purpose, ca_file=ca_file
        ) as client:
            await client.head(CHECK_REPOSITORY, "none")
    except RegistryError as error:
        if error.problem not in (RegistryProblem.DENIED, RegistryProblem.NO_REPOSITORY):
            raise


async def _bucket(objects: "S3Config") -> None:
    store = objects.open("http://127.0.0.1")
    try:
        await store.prepare()
        await store.check()
    finally:
        await store.close()


async def _projects(depot: "DepotConfig") -> None:
    from pkg.depot.api import open_api

    async with open_api(depot) as api:
        await api.projects()


def _fields(settings: Strict, kind: type[C]) -> C:
    """The section that opens what these settings describe."""
    return kind(**msgspec.structs.asdict(settings))
