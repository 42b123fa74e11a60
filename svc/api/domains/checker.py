"""The loop that asks DNS about domains when their rows are due."""

import asyncio
import logging
from collections import Counter
from urllib.parse import urlsplit

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pkg.certificates import orders
from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind
from pkg.certificates.wanted import by_dns
from pkg.clock import Clock
from pkg.config.sections import Ingress
from pkg.db import Database
from pkg.deployments.addresses import environment_hostname
from pkg.domains import queries
from pkg.domains.caa import Issuance
from pkg.domains.check import Expectation, check_domain
from pkg.domains.model import Domain
from pkg.domains.resolver import Lookups
from pkg.domains.rules import InstallationNames
from pkg.environments import queries as environments
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from pkg.routes.proofs import settle

AT_ONCE = 50
AT_ONCE_OF_WORKSPACE = 25  # zones that do not answer hold their checks for half a minute: others have the rest
LEASE_MS = 120_000  # longer than any check; another api takes over those of one that ended
LOOK_AGAIN_S = 30.0  # without any commit
PAUSE_AFTER_FAILURE_S = 5.0
_LETS_ENCRYPT_IDENTITY = "letsencrypt.org"

log = logging.getLogger(__name__)


class DomainChecker:
    """Checks what is due, at most 50 domains at once, 25 of a workspace, those that somebody waits for first."""

    def __init__(
        self,
        db: Database,
        dns: Lookups,
        clock: Clock,
        metrics: Metrics,
        *,
        ingress: Ingress,
        tls: Tls,
        addresses: tuple[str, ...],
    ) -> None:
        self._db = db
        self._dns = dns
        self._clock = clock
        self._ingress = ingress
        self._addresses = addresses
        self._tls = tls
        self._authorities = ca_identities(tls)
        self._under_way: Counter[str] = Counter()
        self._checks = metrics.counter("domain_checks", "Checks of domains by what they found.", ["outcome"])

    async def run(self) -> None:
        """Runs without end; a failure is logged and passes."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                position = self._db.commits.position  # taken first: a commit during the read is seen below
                try:
                    wait_s = await self._begin_due(running)
                except (SealiftError, SQLAlchemyError, OSError):
                    log.exception("domains can't be read")
                    await asyncio.sleep(PAUSE_AFTER_FAILURE_S)
                    continue
                commit = asyncio.create_task(self._db.commits.wait(position, wait_s))
                await asyncio.wait({commit, *running}, return_when=asyncio.FIRST_COMPLETED)
                commit.cancel()
                running = {task for task in running if not task.done()}
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _begin_due(self, running: set[asyncio.Task[None]]) -> float:
        """Begins checks of what is due as far as there is room; how long nothing else is due, in seconds."""
        room = AT_ONCE - len(running)
        next_at = await self._db.read(queries.next_check_at)
        now = self._clock()
        if next_at is None or room == 0:
            return LOOK_AGAIN_S
        if next_at > now:
            return min(LOOK_AGAIN_S, (next_at - now) / 1000)
        due = await self._db.write(
            lambda connection: queries.take_due(
                connection,
                now=now,
                until=now + LEASE_MS,
                limit=room,
                limit_of_one=AT_ONCE_OF_WORKSPACE,
                under_way=self._under_way,
            )
        )
        for domain in due:
            self._under_way[domain.workspace_id] += 1
        running |= {asyncio.create_task(self._check_one(domain)) for domain in due}
        # none, though some are due: those of a workspace that has as many under way as it may, until one of them ends
        return LOOK_AGAIN_S if len(due) == room or (running and not due) else 0.0

    async def _check_one(self, domain: Domain) -> None:
        try:
            await self._check(domain)
        finally:
            self._under_way[domain.workspace_id] -= 1

    async def _check(self, domain: Domain) -> None:
        try:
            target, account_url = await self._db.read(self._facts, domain)
            method = ChallengeKind.DNS_01 if by_dns(self._tls, domain.hostname) else ChallengeKind.HTTP_01
            issuance = Issuance(self._authorities, method, account_url)
            report = await check_domain(
                self._dns,
                Expectation(
                    name=domain.name,
                    token=domain.token,
                    target=target,
                    installation=installation_names(self._ingress),
                    addresses=self._addresses,
                    issuance=issuance,
                ),
            )
            outcome = await self._db.write(
                lambda connection: settle(connection, domain.id, report, target, self._clock())
            )
        except (SealiftError, SQLAlchemyError, OSError):
            log.exception("a domain can't be checked", extra=fields(domain_id=domain.id))
            return
        if outcome is None:
            return
        self._checks.labels("activated" if outcome.activated else "right" if outcome.is_right else "wrong").inc()
        if outcome.activated:
            log.info("domain active", extra=fields(domain_id=domain.id, hostname=domain.hostname))

    def _facts(self, connection: Connection, domain: Domain) -> tuple[str, str]:
        """The environment's own hostname, and the URL of the account at the authority; "" while there is none."""
        apex, environment = self._ingress.apex_domain, environments.get(connection, domain.environment_id)
        target = apex if environment is None else environment_hostname(connection, environment, apex)
        account = orders.account(connection, self._tls.directory) if self._authorities else None
        return target, "" if account is None else account.url or ""


def installation_names(ingress: Ingress) -> InstallationNames:
    """The hostnames that belong to the installation."""
    return InstallationNames(ingress.apex_domain, ingress.api_hostname)


def ca_identities(tls: Tls) -> tuple[str, ...]:
    """By which names CAA records permit the certificate authority; none when they are not known or do not matter."""
    host = urlsplit(tls.directory).hostname or ""
    is_known = tls.enabled and tls.uses_acme and host.endswith(f".{_LETS_ENCRYPT_IDENTITY}")
    return (_LETS_ENCRYPT_IDENTITY,) if is_known else ()
