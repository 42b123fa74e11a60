"""Which branch a CI job builds, and whose avatar it names, by the variables that each system documents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.client.ci import _SYSTEMS, ci_avatar, ci_branch

GITHUB = {"GITHUB_ACTIONS": "true", "CI": "true"}
GITLAB = {"GITLAB_CI": "true", "CI": "true"}
JENKINS = {"JENKINS_URL": "https://ci.example.com/"}
SHA = "0123456789abcdef0123456789abcdef01234567"
AVATAR = "https://git.example.com/avatars/5dcb"

JOBS = [
    ("github push", {**GITHUB, "GITHUB_REF": "refs/heads/feature/x", "GITHUB_REF_NAME": "feature/x"}, "feature/x"),
    ("github request", {**GITHUB, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": "fix"}, "fix"),
    ("github tag", {**GITHUB, "GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1", "GITHUB_HEAD_REF": ""}, None),
    ("gitlab push", {**GITLAB, "CI_COMMIT_BRANCH": "dev", "CI_COMMIT_REF_NAME": "dev"}, "dev"),
    ("gitlab request", {**GITLAB, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "mr", "CI_COMMIT_REF_NAME": "mr"}, "mr"),
    ("gitlab tag", {**GITLAB, "CI_COMMIT_TAG": "v1", "CI_COMMIT_REF_NAME": "v1"}, None),
    ("circle", {"CIRCLECI": "true", "CIRCLE_BRANCH": "dev"}, "dev"),
    ("circle tag", {"CIRCLECI": "true", "CIRCLE_TAG": "v1"}, None),
    ("buildkite", {"BUILDKITE": "true", "BUILDKITE_BRANCH": "dev", "BUILDKITE_TAG": ""}, "dev"),
    ("buildkite tag", {"BUILDKITE": "true", "BUILDKITE_BRANCH": "v1", "BUILDKITE_TAG": "v1"}, None),
    ("azure", {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/heads/a/b", "BUILD_SOURCEBRANCHNAME": "b"}, "a/b"),
    (
        "azure request",
        {
            "TF_BUILD": "True",
            "BUILD_SOURCEBRANCH": "refs/pull/1/merge",
            "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/p",
        },
        "p",
    ),
    ("azure tag", {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/tags/v1"}, None),
    ("bitbucket", {"BITBUCKET_BUILD_NUMBER": "5", "BITBUCKET_BRANCH": "dev"}, "dev"),
    ("travis", {"TRAVIS": "true", "TRAVIS_BRANCH": "dev", "TRAVIS_TAG": ""}, "dev"),
    ("travis request", {"TRAVIS": "true", "TRAVIS_BRANCH": "main", "TRAVIS_PULL_REQUEST_BRANCH": "fix"}, "fix"),
    ("travis tag", {"TRAVIS": "true", "TRAVIS_BRANCH": "v1", "TRAVIS_TAG": "v1"}, None),
    ("drone", {"DRONE": "true", "DRONE_BRANCH": "dev"}, "dev"),
    ("drone request", {"DRONE": "true", "DRONE_BRANCH": "main", "DRONE_SOURCE_BRANCH": "fix"}, "fix"),
    ("woodpecker", {"CI": "woodpecker", "CI_COMMIT_BRANCH": "dev"}, "dev"),
    ("woodpecker request", {"CI": "woodpecker", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SOURCE_BRANCH": "fix"}, "fix"),
    ("jenkins multibranch", {**JENKINS, "BRANCH_NAME": "feature/x", "GIT_BRANCH": "feature/x"}, "feature/x"),
    ("jenkins request", {**JENKINS, "BRANCH_NAME": "PR-7", "CHANGE_BRANCH": "fix", "CHANGE_TARGET": "main"}, "fix"),
    ("jenkins freestyle", {**JENKINS, "GIT_BRANCH": "origin/feature/x"}, "feature/x"),
    ("jenkins detached", {**JENKINS, "GIT_BRANCH": "detached"}, None),
    ("jenkins tag", {**JENKINS, "BRANCH_NAME": "v1", "TAG_NAME": "v1"}, None),
    ("appveyor", {"APPVEYOR": "True", "APPVEYOR_REPO_BRANCH": "dev"}, "dev"),
    ("codebuild", {"CODEBUILD_BUILD_ID": "x:y", "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/dev"}, "dev"),
    ("semaphore", {"SEMAPHORE": "true", "SEMAPHORE_GIT_BRANCH": "main", "SEMAPHORE_GIT_PR_BRANCH": "fix"}, "fix"),
    ("cirrus", {"CIRRUS_CI": "true", "CIRRUS_BRANCH": "dev"}, "dev"),
    ("bitrise", {"BITRISE_IO": "true", "BITRISE_GIT_BRANCH": "dev"}, "dev"),
    ("teamcity, which sets no branch", {"TEAMCITY_VERSION": "2025.3"}, None),
    (
        "no system",
        {"CI": "true", "CI_COMMIT_BRANCH": "dev", "BRANCH_NAME": "dev", "GITHUB_REF": "refs/heads/dev"},
        None,
    ),
    ("switched off", {"GITHUB_ACTIONS": "false", "GITHUB_REF": "refs/heads/dev"}, None),
]


@pytest.mark.parametrize(("env", "branch"), [job[1:] for job in JOBS], ids=[job[0] for job in JOBS])
def test_jobs(env: dict[str, str], branch: str | None) -> None:
    """Promise: a push has its branch, a pull request its source branch, a tag none."""
    found = ci_branch(env)
    assert (found.name if found else None) == branch
    if found:
        assert env[found.variable].endswith(found.name)


VARIABLES = sorted({name for system in _SYSTEMS for name in (*system.requests, *system.branches, *system.refs)})
SIGNS = [(system.marker, system.value or "true") for system in _SYSTEMS]


@given(st.sampled_from(SIGNS), st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=30), max_size=8))
def test_any_values(sign: tuple[str, str], variables: dict[str, str]) -> None:
    """Promise: whatever stands in the variables, a branch that is found is not empty and was said by its own system."""
    found = ci_branch({**variables, sign[0]: sign[1]})
    if found:
        assert found.name.strip()
        assert found.name in variables[found.variable]
        assert [system.name for system in _SYSTEMS if system.marker == sign[0]] == [found.system]


@pytest.mark.parametrize(
    ("env", "avatar"),
    [
        ({"DRONE": "true", "DRONE_COMMIT_SHA": SHA, "DRONE_COMMIT_AUTHOR_AVATAR": AVATAR}, AVATAR),
        ({"CI": "woodpecker", "CI_COMMIT_SHA": SHA, "CI_COMMIT_AUTHOR_AVATAR": AVATAR}, AVATAR),
        ({"CI": "woodpecker", "CI_COMMIT_SHA": "f" * 40, "CI_COMMIT_AUTHOR_AVATAR": AVATAR}, ""),
        ({"CI": "woodpecker", "CI_COMMIT_SHA": SHA, "CI_COMMIT_AUTHOR_AVATAR": "javascript:x"}, ""),
        ({"CI": "woodpecker", "CI_COMMIT_SHA": SHA}, ""),
        ({"GITHUB_ACTIONS": "true", "GITHUB_SHA": SHA}, ""),
        ({"CI_COMMIT_SHA": SHA, "CI_COMMIT_AUTHOR_AVATAR": AVATAR}, ""),
        ({}, ""),
    ],
)
def test_the_avatar_of_the_author(env: dict[str, str], avatar: str) -> None:
    """Promise: the URL is that of the deployed commit's author, if the CI system names it, and is one for the web."""
    assert ci_avatar(env, SHA) == avatar
    assert ci_avatar(env, SHA[:7]) == avatar
    assert ci_avatar(env, None) == ""
