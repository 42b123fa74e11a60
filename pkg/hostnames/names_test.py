import itertools
import re
from typing import TypedDict, cast

from hypothesis import given
from hypothesis import strategies as st

from pkg.hostnames import HostnameKind, Sticky, hostnames_for, is_generated, label_of, parse_hostname
from pkg.ids import new_id

APEX = "sealift.localhost"
DEP = "dep_06b7k3m4n5p6q7r8s9t0v1w2x3"
SHA = "0123456789abcdef0123456789abcdef01234567"


class Case(TypedDict, total=False):
    project_slug: str
    environment_slug: str
    is_production: bool
    branch: str
    commit_sha: str | None
    deployment_id: str
    workspace_slug: str


def labels(**changes: object) -> dict[HostnameKind, str]:
    case: dict[str, object] = {
        "project_slug": "hello",
        "environment_slug": "production",
        "is_production": True,
        "branch": "main",
        "commit_sha": SHA,
        "deployment_id": DEP,
        "apex": APEX,
        **changes,
    }
    found = hostnames_for(**case)  # type: ignore[arg-type]
    return {each.kind: each.hostname.removesuffix(f".{APEX}") for each in found}


def test_forms_of_an_ordinary_deployment() -> None:
    """Promise: the usual names are short and readable, and the live one is the project's."""
    found = hostnames_for(
        project_slug="hello",
        environment_slug="production",
        is_production=True,
        branch="main",
        commit_sha=SHA,
        deployment_id=DEP,
        apex=APEX,
    )
    plain = {(each.kind, each.hostname, each.sticky) for each in found if each.kind is not HostnameKind.COMMIT}
    assert plain == {
        (HostnameKind.LIVE, "hello.sealift.localhost", Sticky.LIVE),
        (HostnameKind.ENVIRONMENT, "hello-env-production.sealift.localhost", Sticky.ENVIRONMENT),
        (HostnameKind.BRANCH, "hello-git-main.sealift.localhost", Sticky.BRANCH),
        (HostnameKind.DEPLOYMENT, "hello-dep-06b7k3m4n5p6q7r8s9t0v1w2x3.sealift.localhost", Sticky.NONE),
    }
    commit = next(each for each in found if each.kind is HostnameKind.COMMIT)
    assert commit.sticky is Sticky.NONE
    assert re.fullmatch(r"hello-commit-0123456-x[0-9a-z]{12}\.sealift\.localhost", commit.hostname)


def test_hash_is_pinned() -> None:
    """Promise: names survive an upgrade; this literal may change only together with a migration of routes."""
    assert labels(branch="feature/a")[HostnameKind.BRANCH] == "hello-git-feature-a-xanapq0stgywr"


def test_preview_has_no_live_hostname_and_branches_of_its_own() -> None:
    """Promise: environments never fight over a hostname: they move their routes independently."""
    preview = labels(environment_slug="preview", is_production=False)
    assert HostnameKind.LIVE not in preview
    assert preview[HostnameKind.BRANCH] == "hello-env-preview-git-main"
    assert not set(preview.values()) - {preview[HostnameKind.DEPLOYMENT]} & set(labels().values())


def test_no_commit_no_commit_hostname() -> None:
    """Promise: a directory outside git deploys too."""
    assert HostnameKind.COMMIT not in labels(commit_sha=None)


def test_two_deployments_of_one_commit_never_share_a_hostname() -> None:
    """Promise: what is deployed may differ from the commit that it names."""
    one, two = (labels(deployment_id=new_id("dep"))[HostnameKind.COMMIT] for _ in range(2))
    assert one != two


def test_commits_with_the_same_beginning_differ() -> None:
    """Promise: the seven digits shown do not decide; the whole sha does."""
    assert labels()[HostnameKind.COMMIT] != labels(commit_sha=SHA[:-1] + "0")[HostnameKind.COMMIT]


def test_known_collisions_of_plain_concatenation() -> None:
    """Promise: what collides by joining with hyphens does not collide here."""
    branches = ["feature/a", "feature-a", "feature_a", "Feature-a", "feature--a", "-feature-a", "feature-a-"]
    assert len({labels(branch=branch)[HostnameKind.BRANCH] for branch in branches}) == len(branches)
    pairs = [("a-b", "c"), ("a", "b-c"), ("a-env", "c"), ("a", "env-c"), ("a-env-b", "c"), ("a", "b-env-c")]
    named = {
        label
        for project, slug in pairs
        for kind, label in labels(project_slug=project, environment_slug=slug, is_production=False).items()
        if kind is HostnameKind.ENVIRONMENT
    }
    assert len(named) == len(pairs)


def test_a_plain_name_cannot_be_made_to_look_like_a_hashed_one() -> None:
    """Promise: a known hashed name cannot be claimed by choosing slugs."""
    wanted = labels(project_slug="my-env")[HostnameKind.LIVE]
    suffix = wanted.removeprefix("my-env-")
    forged = labels(project_slug="my", environment_slug=suffix, is_production=False)[HostnameKind.ENVIRONMENT]
    assert forged != wanted
    assert labels(project_slug=wanted)[HostnameKind.LIVE] != wanted


def test_every_small_combination_is_unique() -> None:
    """Promise: exhaustively over awkward slugs, no two different things share a hostname."""
    slugs = [
        "a",
        "b",
        "env",
        "git",
        "ws",
        "dep",
        "a-b",
        "b-a",
        "a-env-b",
        "a-git-b",
        "a-ws-b",
        "a-dep-b",
        "env-a",
        "a--b",
    ]
    branches = ["a", "b", "ws", "a-ws-b", "a/ws/b", "git", "a-git-b", "env-a", "A", "a_b", "a-b"]
    seen: dict[str, tuple[object, ...]] = {}
    for workspace, project, environment in itertools.product(["default", *slugs[:8]], slugs, [None, *slugs[:8]]):
        for branch in branches:
            found = labels(
                project_slug=project,
                environment_slug=environment or "production",
                is_production=environment is None,
                branch=branch,
                workspace_slug=workspace,
                commit_sha=None,
            )
            del found[HostnameKind.DEPLOYMENT]
            for kind, label in found.items():
                raw = {HostnameKind.LIVE: (), HostnameKind.ENVIRONMENT: (environment,)}.get(kind, (environment, branch))
                thing = (workspace, project, kind, raw)
                assert seen.setdefault(label, thing) == thing, label


slug = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
tokens = st.lists(
    st.sampled_from(["a", "b", "env", "git", "commit", "dep", "ws", "-", "/", "x"]), min_size=1, max_size=6
)
awkward = tokens.map("-".join)
text = st.one_of(slug, awkward, st.text(max_size=80))
case = st.fixed_dictionaries(
    {
        "project_slug": st.one_of(slug, awkward),
        "environment_slug": st.one_of(slug, awkward),
        "is_production": st.booleans(),
        "branch": text,
        "commit_sha": st.one_of(st.none(), st.from_regex(r"[0-9a-f]{7,64}", fullmatch=True)),
        "deployment_id": st.builds(lambda: new_id("dep")),
        "workspace_slug": st.one_of(st.just("default"), slug, awkward),
    }
)


@given(case)
def test_valid_deterministic_and_recognised(given_case: Case) -> None:
    """Promise: any input gives valid labels, the same every time, that are recognised as generated."""
    found = hostnames_for(**given_case, apex=APEX)
    assert found == hostnames_for(**given_case, apex=APEX)
    for each in found:
        label = label_of(each.hostname, APEX)
        assert label is not None
        assert len(label) <= 63
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label)
        assert label[2:4] != "--"  # reserved for internationalised names
        assert is_generated(each.hostname, APEX)
        assert parse_hostname(each.hostname) == each.hostname
    assert len({each.hostname for each in found}) == len(found)


def things(given_case: Case) -> dict[HostnameKind, tuple[object, ...]]:
    """What each hostname stands for, in full."""
    owner = (given_case["workspace_slug"], given_case["project_slug"])
    environment = None if given_case["is_production"] else given_case["environment_slug"]
    return {
        HostnameKind.LIVE: owner,
        HostnameKind.ENVIRONMENT: (*owner, given_case["environment_slug"]),
        HostnameKind.BRANCH: (*owner, environment, given_case["branch"]),
        HostnameKind.COMMIT: (
            *owner,
            given_case["environment_slug"],
            given_case["commit_sha"],
            given_case["deployment_id"],
        ),
        HostnameKind.DEPLOYMENT: (*owner, given_case["deployment_id"]),
    }


@given(case, case)
def test_same_hostname_means_same_thing(one: Case, two: Case) -> None:
    """Promise: two deployments share a hostname exactly when it stands for the same thing."""
    first, second = hostnames_for(**one, apex=APEX), hostnames_for(**two, apex=APEX)
    for a, b in itertools.product(first, second):
        same = a.kind is b.kind and things(one)[a.kind] == things(two)[b.kind]
        assert (a.hostname == b.hostname) == same


def names(base: Case, **changes: str) -> dict[HostnameKind, str]:
    changed = cast("Case", {**base, **changes})
    return {each.kind: each.hostname for each in hostnames_for(**changed, apex=APEX)}


@given(case, slug, slug)
def test_changing_one_part_changes_the_name(base: Case, one: str, two: str) -> None:
    """Promise: among near-identical deployments, too, another branch or project is another name."""
    if one != two:
        assert names(base, branch=one)[HostnameKind.BRANCH] != names(base, branch=two)[HostnameKind.BRANCH]
        assert not set(names(base, project_slug=one).values()) & set(names(base, project_slug=two).values())
