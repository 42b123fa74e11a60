"""The hostnames of a deployment."""

from dataclasses import dataclass
from enum import StrEnum

from pkg.hostnames.label import Marker, Part, make_label
from pkg.ids import dns_label, is_id

DEFAULT_WORKSPACE = "default"
_SHOWN_SHA_DIGITS = 7


class HostnameKind(StrEnum):
    """What a hostname stands for; all but CUSTOM are generated."""

    COMMIT = "commit"
    BRANCH = "branch"
    ENVIRONMENT = "environment"
    LIVE = "live"
    DEPLOYMENT = "deployment"
    CUSTOM = "custom"  # a domain of a user


class Sticky(StrEnum):
    """What may move the route of a hostname."""

    NONE = "none"
    BRANCH = "branch"
    ENVIRONMENT = "environment"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Hostname:
    """A hostname, lower case, without a trailing dot."""

    hostname: str
    kind: HostnameKind
    sticky: Sticky


def hostnames_for(
    *,
    project_slug: str,
    environment_slug: str,
    is_production: bool,
    branch: str,
    commit_sha: str | None,
    deployment_id: str,
    apex: str,
    workspace_slug: str = DEFAULT_WORKSPACE,
) -> list[Hostname]:
    """All hostnames of a deployment: live (production only), environment, branch, commit (with a sha), deployment.

    Deterministic and total: any text gives valid labels, and different text gives different ones. A branch has a
    hostname per environment, because the environments move their routes independently. What is deployed may differ from
    the commit it names, so the deployment's id is part of the hash in the commit's hostname.
    """
    project = Part(None, project_slug)
    own_workspace = workspace_slug != DEFAULT_WORKSPACE
    workspace = (Part(Marker.WORKSPACE, workspace_slug),) if own_workspace else ()
    environment = Part(Marker.ENVIRONMENT, environment_slug)

    def hostname(
        kind: HostnameKind, sticky: Sticky, parts: tuple[Part, ...], *identity: str, hashed: bool = False
    ) -> Hostname:
        whole = (workspace_slug, project_slug, kind.value, *identity)
        label = make_label((project, *parts, *workspace), identity=whole, hashed=hashed)
        return Hostname(f"{label}.{apex}", kind, sticky)

    branch_part = Part(Marker.BRANCH, branch)
    branch_parts = (branch_part,) if is_production else (environment, branch_part)
    found = [
        hostname(HostnameKind.ENVIRONMENT, Sticky.ENVIRONMENT, (environment,), environment_slug),
        hostname(
            HostnameKind.BRANCH, Sticky.BRANCH, branch_parts, "" if is_production else f"env/{environment_slug}", branch
        ),
    ]
    if is_production:
        found.insert(0, hostname(HostnameKind.LIVE, Sticky.LIVE, ()))
    if commit_sha is not None:
        shown = Part(Marker.COMMIT, commit_sha[:_SHOWN_SHA_DIGITS])
        identity = (environment_slug, commit_sha, deployment_id)
        found.append(hostname(HostnameKind.COMMIT, Sticky.NONE, (shown,), *identity, hashed=True))
    # the id brings its own marker: "dep_06b7" reads "dep-06b7"; text that is no id could read like one
    id_part = Part(Marker.DEPLOYMENT, dns_label(deployment_id).removeprefix("dep-"))
    no_id = not is_id("dep", deployment_id)
    found.append(hostname(HostnameKind.DEPLOYMENT, Sticky.NONE, (id_part,), deployment_id, hashed=no_id))
    return found
