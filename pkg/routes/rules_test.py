"""Promise: an older intent never takes a route from a newer one, nor one of another environment."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.hostnames import Sticky
from pkg.routes.rules import ENVIRONMENT_WIDE, CurrentRoute, Intent, RouteMove, decide

INTENTS = st.sampled_from(sorted(Intent))
STICKY = st.sampled_from(sorted(Sticky))
SEQ = st.integers(1, 50)


def _decide(
    current: CurrentRoute | None, sticky: Sticky, intent: Intent, seq: int, rolled_back: bool = False
) -> RouteMove:
    return decide(
        current=current,
        sticky=sticky,
        intent=intent,
        environment_id="env_a",
        deployment_id="dep_me",
        seq=seq,
        is_rolled_back=rolled_back,
    )


@given(STICKY, INTENTS, SEQ, SEQ, st.booleans())
def test_only_a_higher_fence_moves(sticky: Sticky, intent: Intent, fence: int, seq: int, rolled_back: bool) -> None:
    move = _decide(CurrentRoute("env_a", "dep_other", fence), sticky, intent, seq, rolled_back)
    if move is RouteMove.MOVE:
        assert seq > fence
        assert sticky is not Sticky.NONE


@given(STICKY, INTENTS, SEQ, SEQ, st.booleans())
def test_foreign_hostnames_are_never_taken(
    sticky: Sticky, intent: Intent, fence: int, seq: int, rolled_back: bool
) -> None:
    assert (
        _decide(CurrentRoute("env_b", "dep_other", fence), sticky, intent, seq, rolled_back) is RouteMove.LEAVE_FOREIGN
    )


@given(STICKY, INTENTS, SEQ, st.booleans())
def test_a_repeated_step_changes_nothing(sticky: Sticky, intent: Intent, seq: int, rolled_back: bool) -> None:
    assert _decide(CurrentRoute("env_a", "dep_me", seq), sticky, intent, seq, rolled_back) is RouteMove.KEEP


@given(STICKY, SEQ, SEQ)
def test_a_rolled_back_environment_keeps_its_routes_from_deploys(sticky: Sticky, fence: int, seq: int) -> None:
    move = _decide(CurrentRoute("env_a", "dep_other", fence), sticky, Intent.DEPLOY, seq, rolled_back=True)
    if sticky in ENVIRONMENT_WIDE:
        assert move is RouteMove.LEAVE_ROLLED_BACK


def test_promote_and_rollback_leave_branches_alone() -> None:
    for intent in (Intent.PROMOTE, Intent.ROLLBACK):
        assert _decide(CurrentRoute("env_a", "dep_other", 1), Sticky.BRANCH, intent, 9) is RouteMove.LEAVE
        assert _decide(CurrentRoute("env_a", "dep_other", 1), Sticky.LIVE, intent, 9) is RouteMove.MOVE


@given(STICKY, INTENTS, SEQ, SEQ, st.booleans())
def test_what_is_stopped_is_free_for_newer_intents_only(
    sticky: Sticky, intent: Intent, fence: int, seq: int, rolled_back: bool
) -> None:
    """Also for a promote of a branch's deployment; an older deploy, or a repeated step of one, leaves it stopped."""
    move = _decide(CurrentRoute("env_a", "", fence), sticky, intent, seq, rolled_back)
    assert move is (RouteMove.MOVE if seq > fence else RouteMove.LEAVE_NEWER)


@given(STICKY, INTENTS, SEQ, st.booleans())
def test_what_nobody_holds_is_free(sticky: Sticky, intent: Intent, seq: int, rolled_back: bool) -> None:
    """What was stopped gets all its addresses back when it is switched to."""
    assert _decide(None, sticky, intent, seq, rolled_back) is RouteMove.CREATE
