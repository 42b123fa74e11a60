"""Which deployment each host is served by next. Pure: the rule of "make before break" in one place."""

from collections.abc import Callable, Mapping


def choose(wanted: str, served: str | None, *, usable: bool, known: bool, alive: bool) -> str | None:
    """The deployment a host goes to next; None leaves the host out (404).

    Args:
        wanted: Where the route should point.
        served: Where it points in the table last sent; None when it is not in there.
        usable: Envoy acknowledged `wanted`'s cluster with a healthy endpoint, and krane still sees one.
        known: Envoy acknowledged `wanted`'s cluster and endpoints, healthy or not.
        alive: krane sees a healthy endpoint of `served`.
    """
    if usable or wanted == served:
        return wanted
    if served is not None and alive:
        return served  # held: an answer from the old version beats a 503 from the new one
    return wanted if known else served


def plan(
    wanted: Mapping[str, str],
    served: Mapping[str, str],
    *,
    usable: Callable[[str], bool],
    known: Callable[[str], bool],
    alive: Callable[[str], bool],
    refused: Callable[[str, str], bool],
) -> dict[str, str]:
    """The next table. A host whose move Envoy `refused` stays as it is served."""
    table = {}
    for hostname, target in wanted.items():
        before = served.get(hostname)
        if refused(hostname, target):
            after = before
        else:
            after = choose(
                target, before, usable=usable(target), known=known(target), alive=before is not None and alive(before)
            )
        if after is not None:
            table[hostname] = after
    return table


def difference(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """The hosts on which two tables differ, sorted."""
    return sorted(h for h in a.keys() | b.keys() if a.get(h) != b.get(h))


def restrict(table: Mapping[str, str], base: Mapping[str, str], limit: int) -> dict[str, str]:
    """`table` with at most `limit` hosts changed against `base`: so a refused table is searched for its bad host."""
    result = dict(table)
    for hostname in difference(table, base)[limit:]:
        if hostname in base:
            result[hostname] = base[hostname]
        else:
            result.pop(hostname, None)
    return result
