"""Up to which version everything is served, and what is not, with the reason. Pure.

A route that can't be served for now holds back nobody: its version counts as applied with a `Nack` that names it, and
the next `Applied` says so when it is served after all. Who waits for that very route waits on.
"""

from collections.abc import Mapping, Sequence

from pkg.desired.route import Route
from svc.krane.ingress.port import Nack
from svc.krane.ingress.spec import IngressSpec


def refused_hosts(spec: IngressSpec, quarantined: Mapping[str, str], latest: Mapping[str, Route]) -> dict[str, str]:
    """Hosts that are not served as asked and will not be for now, with the reason for people.

    Args:
        spec: What the controller wants.
        quarantined: Hosts whose change Envoy refused, with its words.
        latest: The table sent last.
    """
    refused = dict(spec.invalid)
    refused.update({hostname: f"envoy refused it: {words}" for hostname, words in quarantined.items()})
    for hostname in spec.unsettled - refused.keys():
        route = spec.routes[hostname]
        for target in route.deployment_ids:
            if target not in spec.endpoints:
                refused[hostname] = f"it is not known yet whether {target} has instances: the engine has not said so"
            elif not spec.healthy(target):
                before = latest.get(hostname)
                instead = f"{before} is still served" if before and before != route else "it answers 503"
                refused[hostname] = f"{target} has no healthy instance here; {instead} until it has one"
    return refused


def applied_version(spec: IngressSpec, acked: Mapping[str, Route], refused: Mapping[str, str]) -> int:
    """The highest version of which every change is in `acked` and settled, or refused."""
    behind = [
        spec.changed.get(h, spec.version)
        for h in spec.routes.keys() | acked.keys()
        if (acked.get(h) != spec.routes.get(h) or h in spec.unsettled) and h not in refused
    ]
    return min(behind, default=spec.version + 1) - 1


def nacks(spec: IngressSpec, refused: Mapping[str, str], errors: Sequence[str]) -> list[Nack]:
    """The refused hosts, and what Envoy said of resources that no single route explains (`errors`)."""
    found = [Nack(spec.changed.get(h, spec.version), h, reason) for h, reason in sorted(refused.items())]
    return [*found, Nack(spec.version, "", "; ".join(errors))] if errors else found
