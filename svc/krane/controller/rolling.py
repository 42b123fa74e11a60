"""Which instance of a deployment is made again next, when a user restarts it. Pure.

One instance more than wanted is made first. Then one after the other leaves the ingress, ends and is made again, each
only while as many others serve as are wanted. At last the one beyond the number goes. All of it follows from what there
is, so that it goes on wherever krane was ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ReplicaState:
    """One instance that exists.

    Attributes:
        generation: Of the restart that it was made for; 0: of none.
        is_serving: It is healthy, and gets requests.
    """

    generation: int
    is_serving: bool


@dataclass(frozen=True)
class RollingStep:
    """What to do now.

    Attributes:
        count: How many instances there are to be, numbered from 0.
        replace: The one that leaves the ingress, ends, and is made again; None: none for now.
    """

    count: int
    replace: int | None = None


def next_step(
    found: Mapping[int, ReplicaState], wanted: int, generation: int, *, may_exceed: bool = True
) -> RollingStep:
    """The step that brings `wanted` instances nearer to being of this generation, or of a later one.

    What does not serve is made again first, since nobody misses it. `may_exceed` False: something else holds the number
    of instances, so none is made beyond it; then the only one is made again while nothing serves beside it.
    """
    old = [replica for replica in range(wanted) if _is_old(found.get(replica), generation)]
    if not old:
        is_spared = may_exceed and not _all_serve(found, wanted) and _has_spare(found, wanted)
        return RollingStep(wanted + is_spared)
    count = wanted + 1 if may_exceed else wanted
    for replica in old:
        if not found[replica].is_serving:
            return RollingStep(count, replica)
    others = [replica for replica in range(count) if replica != old[0]]
    if all(replica in found and found[replica].is_serving for replica in others):
        return RollingStep(count, old[0])
    return RollingStep(count)


def _is_old(state: ReplicaState | None, generation: int) -> bool:
    return state is not None and state.generation < generation


def _all_serve(found: Mapping[int, ReplicaState], wanted: int) -> bool:
    return all(replica in found and found[replica].is_serving for replica in range(wanted))


def _has_spare(found: Mapping[int, ReplicaState], wanted: int) -> bool:
    """Whether one beyond the number serves: it was made to stand in for one that does not."""
    spare = found.get(wanted)
    return spare is not None and spare.is_serving
