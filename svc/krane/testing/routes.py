"""Ordinary routes in short."""

from collections.abc import Mapping

from pkg.desired.route import Route


def routes_to(targets: Mapping[str, str]) -> dict[str, Route]:
    """The table in which each hostname leads to one deployment."""
    return {hostname: Route.to(hostname, deployment_id) for hostname, deployment_id in targets.items()}
