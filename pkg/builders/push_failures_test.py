import pytest

from pkg.builders.push_failures import PUSH, push_failure, push_failure_of_text
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind, away_code, away_message
from pkg.registry import RegistryProblem
from pkg.registry.errors import failure

PUSHES = [kind for kind in FailureKind if kind.startswith("push_")]


@pytest.mark.parametrize("problem", RegistryProblem)
def test_a_temporary_problem_leads_to_another_attempt(problem: RegistryProblem) -> None:
    """Promise: what may pass by itself is tried again, what needs a person is not; the words come along."""
    error = push_failure(failure(problem, "r.example.com/apps/a", PUSH))
    assert isinstance(error, BuilderUnavailable if problem.is_temporary else BuildFailed)
    assert error.code.startswith("build.push_")
    assert "was built, but" in error.message
    assert "r.example.com/apps/a" in error.message


def test_every_kind_of_failed_push_occurs() -> None:
    """Promise: no code is listed that no problem leads to."""
    assert {push_failure(failure(one, "r.example.com/a", PUSH)).kind for one in RegistryProblem} == set(PUSHES)


def test_an_engines_words_lead_to_the_same_error() -> None:
    """Promise: users read the same, whether Sealift or an engine spoke to the registry."""
    error = push_failure_of_text("denied: requested access to the resource is denied", "r.example.com/apps/a")
    assert error.kind is FailureKind.PUSH_DENIED
    assert "the right to push to this repository" in error.message


@pytest.mark.parametrize("kind", [kind for kind in PUSHES if kind.is_ours])
def test_a_registry_that_stays_away_is_named(kind: FailureKind) -> None:
    """Promise: after the last attempt the registry is named, not the builder; other kinds keep the builder's code."""
    assert away_code(kind) == f"build.{kind}"
    assert "the registry did not take it 7 times" in away_message(kind, "the Docker engine", 7)
    assert away_code(FailureKind.DISK_FULL) == away_code("nothing known") == "build.builder_unavailable"
