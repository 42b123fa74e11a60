"""Reads the branch of a CI job, and the avatar of its commit's author, from the CI system's variables. Pure.

A job usually has a detached HEAD, so git knows the commit but no branch. For a pull request, the branch is its source,
never its target. A job that builds a tag has no branch.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CiBranch:
    """A branch, and the CI system and variable it was read from."""

    name: str
    system: str
    variable: str


@dataclass(frozen=True)
class _System:
    """One CI system.

    Attributes:
        name: its name.
        marker: the variable that identifies its jobs.
        value: required value of `marker`; "": any.
        requests: variables with the source branch of a pull request, in order of precedence; read first.
        branches: variables with the branch.
        refs: variables with a full ref; only refs/heads/ is a branch.
        tags: variables that are set when a tag is built; `branches` may then contain the tag.
        commit: variable with the commit.
        avatar: variable with the URL of its author's avatar. Most systems have none, GitHub and GitLab among them.
    """

    name: str
    marker: str
    value: str = ""
    requests: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    commit: str = ""
    avatar: str = ""


# From each system's documentation. Forgejo and Gitea set the variables of GitHub.
_SYSTEMS = (
    _System("GitHub Actions", "GITHUB_ACTIONS", requests=("GITHUB_HEAD_REF",), refs=("GITHUB_REF",)),
    _System(
        "GitLab CI", "GITLAB_CI", branches=("CI_COMMIT_BRANCH",),
        requests=("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME"),
    ),
    _System("CircleCI", "CIRCLECI", branches=("CIRCLE_BRANCH",), tags=("CIRCLE_TAG",)),
    _System("Buildkite", "BUILDKITE", branches=("BUILDKITE_BRANCH",), tags=("BUILDKITE_TAG",)),
    _System(
        "Azure Pipelines", "TF_BUILD",
        refs=("SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH"),
    ),
    _System("Bitbucket Pipelines", "BITBUCKET_BUILD_NUMBER", branches=("BITBUCKET_BRANCH",), tags=("BITBUCKET_TAG",)),
    _System(
        "Travis CI", "TRAVIS", branches=("TRAVIS_BRANCH",), tags=("TRAVIS_TAG",),
        requests=("TRAVIS_PULL_REQUEST_BRANCH",),
    ),
    _System("Drone", "DRONE", branches=("DRONE_BRANCH",), tags=("DRONE_TAG",), requests=("DRONE_SOURCE_BRANCH",),
            commit="DRONE_COMMIT_SHA", avatar="DRONE_COMMIT_AUTHOR_AVATAR"),
    _System(
        "Woodpecker", "CI", value="woodpecker", branches=("CI_COMMIT_BRANCH",), tags=("CI_COMMIT_TAG",),
        requests=("CI_COMMIT_SOURCE_BRANCH",), commit="CI_COMMIT_SHA", avatar="CI_COMMIT_AUTHOR_AVATAR",
    ),
    _System(
        "AppVeyor", "APPVEYOR", branches=("APPVEYOR_REPO_BRANCH",), tags=("APPVEYOR_REPO_TAG_NAME",),
        requests=("APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH",),
    ),
    _System("AWS CodeBuild", "CODEBUILD_BUILD_ID", refs=("CODEBUILD_WEBHOOK_HEAD_REF",)),
    _System(
        "Semaphore", "SEMAPHORE", branches=("SEMAPHORE_GIT_BRANCH",), tags=("SEMAPHORE_GIT_TAG_NAME",),
        requests=("SEMAPHORE_GIT_PR_BRANCH",),
    ),
    _System("Cirrus CI", "CIRRUS_CI", branches=("CIRRUS_BRANCH",), tags=("CIRRUS_TAG",)),
    _System("Bitrise", "BITRISE_IO", branches=("BITRISE_GIT_BRANCH",), tags=("BITRISE_GIT_TAG",)),
    # BRANCH_NAME is PR-7 for a pull request, and the tag for a tag; GIT_BRANCH is prefixed with the remote.
    _System(
        "Jenkins", "JENKINS_URL", branches=("BRANCH_NAME", "GIT_LOCAL_BRANCH", "GIT_BRANCH"), tags=("TAG_NAME",),
        requests=("CHANGE_BRANCH",),
    ),
)  # fmt: skip
_HEADS = "refs/heads/"
_REMOTE = "origin/"


def ci_branch(env: Mapping[str, str]) -> CiBranch | None:
    """The branch of the CI job; None outside a known CI system, or if the job has no branch."""
    system = _system(env)
    return _branch(system, env) if system else None


def ci_avatar(env: Mapping[str, str], commit_sha: str | None) -> str:
    """The URL of the avatar of the author of `commit_sha`; "" if that is not the CI job's commit, or it is unknown."""
    system = _system(env)
    if system is None or not system.avatar or not commit_sha:
        return ""
    url = env.get(system.avatar, "").strip()
    is_of_commit = env.get(system.commit, "").startswith(commit_sha)
    return url if is_of_commit and url.startswith(("http://", "https://")) and url.isprintable() else ""


def _system(env: Mapping[str, str]) -> _System | None:
    for system in _SYSTEMS:
        marker = env.get(system.marker, "")
        if marker and marker.lower() not in ("false", "0") and system.value in ("", marker):
            return system
    return None


def _branch(system: _System, env: Mapping[str, str]) -> CiBranch | None:
    is_tag = any(env.get(variable) for variable in system.tags)
    for variable in (*system.requests, *(() if is_tag else system.branches)):
        name = env.get(variable, "").strip().removeprefix(_HEADS)
        if variable == "GIT_BRANCH":
            name = name.removeprefix("refs/remotes/").removeprefix(_REMOTE)
        if name and name not in ("HEAD", "detached"):
            return CiBranch(name, system.name, variable)
    for variable in system.refs:
        ref = env.get(variable, "").strip()
        if ref.startswith(_HEADS) and ref != _HEADS:
            return CiBranch(ref.removeprefix(_HEADS), system.name, variable)
    return None
