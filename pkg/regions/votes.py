"""Which krane replicas of a region have to have applied a version before it counts as applied there. Pure.

Each replica has an Envoy of its own. A replica that never answers again must not hold back deploys for ever, and one
that only lost contact may go on serving what it had. So a vote expires, and the replica leaves service before that. It
leaves only if it sees that another replica has contact: while the api is away for all, all go on serving. Therefore a
vote expires only while another replica has contact without a break, and makes it known to the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

HEARTBEAT_INTERVAL_S = 10
SHARED_HEARTBEAT_INTERVAL_S = 3  # of a replica that is not the only one
CONTACT_TIMEOUT_S = 10  # three heartbeats; then a replica looks whether it is the only one without contact
# The difference is for what follows: another replica's contact is seen (at most 15 s after the last one of its own),
# then readiness probes fail (5 s), then whoever distributes requests learns of it. It is well below [deploy]
# route_timeout_s, so that a dead replica delays a deploy and does not fail it.
VOTE_EXPIRES_MS = 30_000


@dataclass(frozen=True)
class KraneReplica:
    """A row of `krane_replicas`.

    Attributes:
        replica_id: "" is the only krane of a region, from before there were replicas.
        is_shared: others may serve the region at the same time.
        is_counted: its vote counts.
        last_contact_at: epoch ms by the clock of the api, as all times.
        announced_since: since when it has contact without a break, visible to the other replicas; None: it is not.
        still_served_json: see `ReportAppliedRequest.still_served`.
    """

    region: str
    replica_id: str
    krane_instance_id: str
    is_shared: bool
    is_counted: bool
    applied_version: int
    last_contact_at: int
    announced_since: int | None
    created_at: int
    still_served_json: list[str] = field(default_factory=list)
    unsupported_json: list[int] = field(default_factory=list)
    capabilities_json: list[str] = field(default_factory=list)

    def announced(self, now: int, *, is_announced: bool) -> int | None:
        """`announced_since` after a heartbeat: a break is longer than the timeout."""
        if not is_announced:
            return None
        is_break = not 0 <= now - self.last_contact_at <= CONTACT_TIMEOUT_S * 1000
        return now if is_break or self.announced_since is None else self.announced_since

    def has_expired(self, other_announced_since: int, now: int) -> bool:
        """Whether its vote ends with the contact of another one, which has had contact since then without a break."""
        return now - max(self.last_contact_at, other_announced_since) >= VOTE_EXPIRES_MS


def agreed_version(replicas: Iterable[KraneReplica]) -> int | None:
    """The version that every counted replica has applied; None: none is counted."""
    return min((one.applied_version for one in replicas if one.is_counted), default=None)


def has_caught_up(version: int, region_version: int, *, is_shared: bool) -> bool:
    """Whether a replica that has applied `version` counts from now on: the region's version never goes back."""
    return not is_shared or version >= region_version


def has_released(replica: KraneReplica, deployment_id: str, version: int) -> bool:
    """Whether its Envoy sends the deployment nothing any more. No route led there at `version`."""
    return replica.applied_version >= version and deployment_id not in replica.still_served_json
