"""Which names get a certificate, and who learns of those that get none."""

from sqlalchemy import Connection

from pkg.certificates.config import Tls
from pkg.config.sections import Ingress
from pkg.domains import queries as domains
from pkg.domains.model import DomainStatus
from pkg.domains.names import parse_domain
from pkg.testing.sample_project import SampleProject, add_sample_project
from svc.api.certificates.names import notices, wants
from svc.api.testing import RunningApi

ACME = Tls(email="ops@shop.example")
INGRESS = Ingress(apex_domain="apps.example")


async def test_a_notice_is_for_the_workspace_that_it_is_about(api: RunningApi) -> None:
    """Nobody learns from it which domains others have."""

    def run(connection: Connection) -> None:
        one, other = (add_sample_project(connection, slug, workspace=slug) for slug in ("one", "other"))
        for sample, name in ((one, "*.one.example"), (other, "*.other.example")):
            add_active(connection, sample, name)
        for sample, name in ((one, "*.one.example"), (other, "*.other.example")):
            told = notices(connection, ACME, INGRESS, sample.workspace_id)
            assert [text.partition(" ")[0] for text in told if text.startswith("*")] == [name]
        every = wants(connection, ACME, INGRESS).notices
        assert len([text for text in every if text.startswith("*")]) == 2

    await api.db.write(run)


def add_active(connection: Connection, sample: SampleProject, name: str) -> None:
    """A domain that was proven."""
    made = domains.add(
        connection,
        workspace_id=sample.workspace_id,
        project_id=sample.project_id,
        environment_id=sample.production_id,
        name=parse_domain(name),
        token="t",
        now=1,
    )
    domains.set_status(connection, made.id, DomainStatus.ACTIVE, only_from=[DomainStatus.PENDING], now=2)
