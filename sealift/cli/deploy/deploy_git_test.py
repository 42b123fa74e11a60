"""`sealift deploy` in a git repository: what is sent and which branch it is, or an error that helps."""

import os
import subprocess

from sealift.cli.conftest import Program
from sealift.client.testing import FakeServer


def git(sealift: Program, *words: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@x")
    subprocess.run(["git", *identity, *words], check=True, env=sealift.env, cwd=sealift.cwd, capture_output=True)


async def test_a_checkout_of_another_owner(sealift: Program, server: FakeServer) -> None:
    """Promise: if git refuses to read, nothing is sent; both remedies work: trusting the directory, and --no-git."""
    sealift.files(_DOT_gitignore=".env\n", _DOT_env="SECRET=1")
    git(sealift, "init", "-q", "-b", "dev")
    os.chown(sealift.cwd, 65534, 65534)
    for how in ((), ("--dry-run",)):
        done = await sealift("deploy", *how)
        assert (done.code, done.out) == (2, "")
        assert f"git config --global --add safe.directory {sealift.cwd}" in done.err
        assert "--no-git" in done.err
    assert not server.store.puts
    assert ".env" in (await sealift("deploy", "--dry-run", "--no-git")).out
    git(sealift, "config", "--global", "--add", "safe.directory", str(sealift.cwd))
    done = await sealift("deploy", "--dry-run")
    assert done.code == 0
    assert ".env" not in done.out
    assert "dev" in done.err


async def test_a_detached_head(sealift: Program, server: FakeServer) -> None:
    """Promise: in a CI job the branch is the job's; elsewhere a message says which branch is used instead."""
    for words in (("init",), ("add", "."), ("commit", "-m", "x"), ("checkout", "--detach")):
        git(sealift, *words)
    done = await sealift("deploy")
    assert "HEAD is detached: using the branch main; set another one with --branch" in done.err
    sealift.env |= {"GITHUB_ACTIONS": "true", "GITHUB_HEAD_REF": "fix/1", "GITHUB_REF": "refs/pull/1/merge"}
    assert "using the branch fix/1 from GITHUB_HEAD_REF (GitHub Actions)" in (await sealift("deploy")).err
    listed = (await sealift("deploy", "--dry-run", "--json")).events[-1]
    assert (listed["branch"], "GITHUB_HEAD_REF" in listed["branch_note"]) == ("fix/1", True)
    assert [request.branch for request in server.created] == ["main", "fix/1"]


async def test_called_by_a_hook_of_another_repository(sealift: Program) -> None:
    """Promise: GIT_DIR and similar variables of a calling hook have no effect."""
    git(sealift, "init", "-b", "mine")
    other = sealift.cwd.parent / "other"
    git(sealift, "init", "-b", "other", str(other))
    sealift.env |= {"GIT_DIR": f"{other}/.git", "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": f"{other}/.git/index"}
    assert (await sealift("deploy", "--dry-run", "--json")).events[-1]["branch"] == "mine"
