"""How each host is served next. Pure: the rule of "make before break" in one place."""

from collections.abc import Callable, Mapping

from pkg.desired.route import Route


def choose(wanted: Route, served: Route | None, *, usable: bool, known: bool, alive: bool) -> Route | None:
    """The route a host has next; None leaves the host out (404).

    Args:
        wanted: The route as it should be.
        served: As it is in the table last sent; None when it is not in there.
        usable: Of each deployment that `wanted` leads to, Envoy acknowledged the cluster with a healthy endpoint, and
            krane still sees one.
        known: Of each, Envoy acknowledged cluster and endpoints, healthy or not.
        alive: krane sees a healthy endpoint of each deployment that `served` leads to.
    """
    if usable or wanted == served:
        return wanted
    if served is not None and alive:
        return served  # held: an answer from the old version beats a 503 from the new one
    return wanted if known else served


def plan(
    wanted: Mapping[str, Route],
    served: Mapping[str, Route],
    *,
    usable: Callable[[str], bool],
    known: Callable[[str], bool],
    alive: Callable[[str], bool],
    refused: Callable[[Route], bool],
) -> dict[str, Route]:
    """The next table. A host whose route Envoy `refused` stays as it is served.

    `usable`, `known` and `alive` are called for each deployment.
    """
    table = {}
    for hostname, route in wanted.items():
        before = served.get(hostname)
        if refused(route):
            after = before
        else:
            after = choose(
                route,
                before,
                usable=all(map(usable, route.deployment_ids)),
                known=all(map(known, route.deployment_ids)),
                alive=before is not None and all(map(alive, before.deployment_ids)),
            )
        if after is not None:
            table[hostname] = after
    return table


def difference(a: Mapping[str, Route], b: Mapping[str, Route]) -> list[str]:
    """The hosts on which two tables differ, sorted."""
    return sorted(h for h in a.keys() | b.keys() if a.get(h) != b.get(h))


def restrict(table: Mapping[str, Route], base: Mapping[str, Route], limit: int) -> dict[str, Route]:
    """`table` with at most `limit` hosts changed against `base`: so a refused table is searched for its bad host."""
    result = dict(table)
    for hostname in difference(table, base)[limit:]:
        if hostname in base:
            result[hostname] = base[hostname]
        else:
            result.pop(hostname, None)
    return result
