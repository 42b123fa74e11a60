"""Plans and the requests they become."""

import re
from pathlib import Path

import pytest

from sealift.cli.deploy.plan import Plan, build_args, checked_commit, read_secrets
from sealift.cli.deploy.request import StoredContext, create_request
from sealift.cli.project.project_file import ProjectFile
from sealift.client.errors import InputError
from sealift.client.git import GitInfo


def test_secrets_come_from_variables_and_files(tmp_path: Path) -> None:
    """Promise: both sources work, byte by byte, and repr shows no value."""
    (tmp_path / "f").write_bytes(b"\x00\xff")
    found = read_secrets(["id=a,env=A", f"id=b,src={tmp_path / 'f'}"], {"A": "v"})
    assert found == {"a": b"v", "b": b"\x00\xff"}
    assert "hunter2" not in repr(Plan("p", "e", secrets={"a": b"hunter2"}))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("hunter2", "is not id=NAME"),
        ("id=a", "is not id=NAME"),
        ("id=a,value=hunter2", "is not id=NAME"),
        ("id=a,env=A,src=f", "is not id=NAME"),
        ("id=a b,env=A", "is not id=NAME"),
        ("id=a,env=MISSING", "MISSING is not set"),
        ("id=a,env=EMPTY", "is empty"),
        ("id=a,env=BIG", "larger than 64.0 KiB"),
        ("id=a,src=/nope", "can't read /nope"),
    ],
)
def test_bad_secrets(option: str, words: str) -> None:
    """Promise: an invalid secret is reported by id and source; a value given by mistake is not shown."""
    with pytest.raises(InputError, match=words) as caught:
        read_secrets([option], {"A": "x", "EMPTY": "", "BIG": "x" * 70_000})
    assert "hunter2" not in caught.value.message


def test_bounds() -> None:
    """Promise: more values than the server accepts are refused, with the limit."""
    with pytest.raises(InputError, match="the limit is 64"):
        build_args([f"A{n}=1" for n in range(65)], ProjectFile())
    with pytest.raises(InputError, match="the limit is 32"):
        read_secrets([f"id=a{n},env=A" for n in range(33)], {"A": "x"})
    with pytest.raises(InputError, match="twice"):
        read_secrets(["id=a,env=A"] * 2, {"A": "x"})
    with pytest.raises(InputError, match="NAME=VALUE"):
        build_args(["A"], ProjectFile())
    for bad in ("", "HEAD", "abcdef", "ABCDEF1", "--all", "a" * 65):
        with pytest.raises(InputError, match="--commit"):
            checked_commit(bad)


def test_branch_order() -> None:
    """Promise: the branch is --branch, else git's, the CI system's, or main; with a detached HEAD it is reported."""
    job = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/ci"}
    for plan, git, env, branch, note in (
        (Plan("p", "e", branch="x"), GitInfo(branch="g"), job, "x", ""),
        (Plan("p", "e"), GitInfo(branch="g"), job, "g", ""),
        (Plan("p", "e"), GitInfo(is_detached=True), job, "ci", "detached.*ci from GITHUB_REF .GitHub Actions"),
        (Plan("p", "e"), GitInfo(), job, "ci", "from GITHUB_REF"),
        (Plan("p", "e"), GitInfo(is_detached=True), {}, "main", "detached.*using the branch main.*--branch"),
        (Plan("p", "e", branch="x"), GitInfo(is_detached=True), {}, "x", ""),
        (Plan("p", "e"), GitInfo(), {}, "main", ""),
    ):
        planned = plan.with_git(git, env)
        assert planned.branch == branch
        assert re.search(note, planned.branch_note)
        assert bool(note) == bool(planned.branch_note)


def test_empty_git_info_is_absent() -> None:
    """Promise: absent stays absent, field by field."""
    bare = create_request(Plan("p", "e"), "proj_x", StoredContext("contexts/x", "ab" * 32))
    assert not bare.HasField("git_commit")
    some = create_request(Plan("p", "e", git=GitInfo(commit_sha="abcdef1")), "proj_x", None)
    assert [field.name for field, _ in some.git_commit.ListFields()] == ["commit_sha"]
