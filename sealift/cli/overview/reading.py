"""Reads what is shown of an environment on one screen."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sealift.cli.format.text import clean
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.selection import MAX_CANDIDATES
from sealift.cli.session import find_environment, find_project
from sealift.client.client import Client
from sealift.client.errors import ClientError, NotFoundError
from sealift.ctrl.v1 import acme_pb2, deployment_pb2, domain_pb2, environment_pb2, project_pb2, stats_pb2

REQUESTS_S = 3600
MAX_CERTIFICATES = 10

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Overview:
    """An environment as it is now.

    Attributes:
        live: what its hostnames lead to.
        standby: what is kept warm for an instant rollback, the newest first.
        under_way: deployments that have not ended, the newest first.
        last_failed: the newest deployment that failed.
        requests: of the last hour; None: unknown.
        domains: of the environment; None: unknown.
        certificates: by hostname, of the main one and of domains, at most MAX_CERTIFICATES; a hostname with None has
            none. None: unknown.
        others: the other environments of the project.
        unknown: what could not be read, and why.
    """

    project: project_pb2.Project
    environment: environment_pb2.Environment
    live: deployment_pb2.Deployment | None
    standby: tuple[deployment_pb2.Deployment, ...]
    under_way: tuple[deployment_pb2.Deployment, ...]
    last_failed: deployment_pb2.Deployment | None
    requests: stats_pb2.GetStatsResponse | None
    domains: tuple[domain_pb2.Domain, ...] | None
    certificates: dict[str, acme_pb2.ManagedCertificate | None] | None
    others: tuple[environment_pb2.Environment, ...]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.project.slug} · {self.environment.slug}"


async def read_overview(client: Client, project: str | None, environment: str | None) -> Overview:
    """The environment that is named, else that of sealift.toml, else production.

    What can't be read beside its deployments, e.g. figures while their store is away, is named in `unknown`.
    """
    owner = await find_project(client, project_ref(project))
    place = await find_environment(client, owner, environment_slug(environment))
    newest = await client.deployments(owner.project_id, environment_slug=place.slug, limit=MAX_CANDIDATES)
    live = next((one for one in newest if one.deployment_id == place.live_deployment_id), None)
    if live is None and place.live_deployment_id:
        live = await client.deployment(place.live_deployment_id)
    unknown: list[str] = []
    since = int(time.time() - REQUESTS_S) * 1000
    requests, domains, others = await asyncio.gather(
        _or_unknown(client.stats(owner.project_id, since=since, environment_slug=place.slug), "requests", unknown),
        _or_unknown(_domains(client, place), "domains", unknown),
        _or_unknown(client.environments(owner.project_id), "other environments", unknown),
    )
    urls = _addresses(live, domains or ())
    certificates = await _or_unknown(_certificates(client, urls), "certificates", unknown) if urls else {}
    return Overview(
        project=owner,
        environment=place,
        live=live,
        standby=tuple(one for one in newest if one.run_state == deployment_pb2.RUN_STATE_STANDBY and not one.is_live),
        under_way=tuple(one for one in newest if not one.ended_at),
        last_failed=next((one for one in newest if one.status == deployment_pb2.DEPLOYMENT_STATUS_FAILED), None),
        requests=requests,
        domains=None if domains is None else tuple(domains),
        certificates=certificates,
        others=tuple(one for one in others or () if one.environment_id != place.environment_id),
        unknown=tuple(unknown),
    )


async def _or_unknown(reading: Awaitable[T], what: str, unknown: list[str]) -> T | None:
    try:
        return await reading
    except ClientError as error:
        unknown.append(f"{what}: {clean(error.message)}")
        return None


async def _domains(client: Client, place: environment_pb2.Environment) -> list[domain_pb2.Domain]:
    return [one async for one in client.domains(place.project_id, environment_id=place.environment_id)]


def _addresses(live: deployment_pb2.Deployment | None, domains: Sequence[domain_pb2.Domain]) -> list[str]:
    """The main URL and those of domains that are served."""
    main = live.urls[:1] if live else []
    served = (one.url for one in domains if one.status == domain_pb2.DOMAIN_STATUS_ACTIVE)
    return list(dict.fromkeys([*main, *served]))[:MAX_CERTIFICATES]


async def _certificates(client: Client, urls: Sequence[str]) -> dict[str, acme_pb2.ManagedCertificate | None]:
    """By hostname; one that is told to be reached by plain HTTP may have none."""
    found = await asyncio.gather(*(_certificate(client, _hostname(url)) for url in urls))
    return {
        _hostname(url): one
        for url, one in zip(urls, found, strict=True)
        if one is not None or url.startswith("https://")
    }


def _hostname(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition(":")[0]


async def _certificate(client: Client, hostname: str) -> acme_pb2.ManagedCertificate | None:
    try:
        return (await client.certificate(hostname)).certificate
    except NotFoundError:
        return None
