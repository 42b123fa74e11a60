"""Who may move a route. Pure.

Every intent (deploy, promote, rollback) has a number in its environment's order, its seq. A route keeps the seq that
moved it last, its fence, and only a higher one may move it: a deploy that finishes late can't take what a newer one
holds.
"""

from dataclasses import dataclass
from enum import StrEnum

from pkg.hostnames import Sticky


class Intent(StrEnum):
    """What wants to move routes."""

    DEPLOY = "deploy"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class RouteMove(StrEnum):
    """What becomes of one hostname."""

    CREATE = "create"
    MOVE = "move"
    KEEP = "keep"  # points there already, moved by this very intent: a repeated step
    LEAVE_NEWER = "leave_newer"
    LEAVE_ROLLED_BACK = "leave_rolled_back"
    LEAVE_FOREIGN = "leave_foreign"  # another environment's: never taken
    LEAVE = "leave"  # this kind of intent does not move this kind of route


@dataclass(frozen=True)
class CurrentRoute:
    """The deployment that a hostname points to now, "" for an answer, and the seq that moved it there."""

    environment_id: str
    deployment_id: str
    fence: int


# The environment's own routes: what "live" means, and what promote and rollback move.
ENVIRONMENT_WIDE = frozenset({Sticky.ENVIRONMENT, Sticky.LIVE})


def decide(
    *,
    current: CurrentRoute | None,
    sticky: Sticky,
    intent: Intent,
    environment_id: str,
    deployment_id: str,
    seq: int,
    is_rolled_back: bool,
) -> RouteMove:
    """What the intent `seq` of `deployment_id` may do with a hostname of kind `sticky` that `current` has now."""
    if current is not None and current.environment_id != environment_id:
        return RouteMove.LEAVE_FOREIGN
    if current is not None and current.deployment_id == deployment_id and current.fence == seq:
        return RouteMove.KEEP
    if current is None:  # for any intent: what was stopped gets all its addresses back
        return RouteMove.CREATE
    if not current.deployment_id:  # reserved and held by nobody: for any newer intent, too
        return RouteMove.MOVE if seq > current.fence else RouteMove.LEAVE_NEWER
    if sticky is Sticky.NONE:
        return RouteMove.KEEP if current.deployment_id == deployment_id else RouteMove.LEAVE_FOREIGN
    if sticky in ENVIRONMENT_WIDE and intent is Intent.DEPLOY and is_rolled_back:
        return RouteMove.LEAVE_ROLLED_BACK
    if sticky is Sticky.BRANCH and intent is not Intent.DEPLOY:
        return RouteMove.LEAVE
    return RouteMove.MOVE if seq > current.fence else RouteMove.LEAVE_NEWER
