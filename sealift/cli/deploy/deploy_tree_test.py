"""`sealift deploy` of a directory that is written to meanwhile, and the dates of what it sends."""

import asyncio
import contextlib
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sealift.cli.conftest import Program
from sealift.cli.deploy.deploying import Deploy
from sealift.cli.deploy.plan import Plan
from sealift.cli.output.plain import PlainOutput
from sealift.client.archive import Archive, pack
from sealift.client.client import Client
from sealift.client.context import Context
from sealift.client.errors import InputError
from sealift.client.testing import FakeServer


def sent(server: FakeServer, number: int) -> dict[str, tarfile.TarInfo]:
    """The entries of the archive of a deployment, counted from 0."""
    content = server.store.objects[server.created[number].build_context.build_context_path]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {entry.name: entry for entry in tar.getmembers()}


@contextlib.asynccontextmanager
async def appending(path: Path) -> AsyncIterator[None]:
    """A program that writes to a log all the time."""
    writer = await asyncio.create_subprocess_exec(
        "sh", "-c", 'while :; do echo "a line of a log that grows and grows" >> "$0"; done', str(path)
    )
    try:
        yield
    finally:
        writer.kill()
        await writer.wait()


async def test_its_own_output_and_a_growing_log(sealift: Program, server: FakeServer) -> None:
    """Promise: the documented CI commands work, also while events and logs are written to the directory itself."""
    async with appending(sealift.cwd / "dev.log"):
        for _ in range(4):
            with (sealift.cwd / "events.jsonl").open("wb") as events:
                assert (await sealift("deploy", "--json", stdout=events)).code == 0
    assert {"dev.log", "events.jsonl"} <= set(sent(server, 3))


@pytest.mark.parametrize(("times", "code"), [(2, "dep_1"), (3, "context.changed")])
async def test_files_that_vanish(
    sealift: Program, server: FakeServer, monkeypatch: pytest.MonkeyPatch, times: int, code: str
) -> None:
    """Promise: a file removed between scan and packing causes another scan, three in total."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(sealift.temp))
    temporary = [sealift.cwd / f"temporary{number}" for number in range(times)]
    for path in temporary:
        path.touch()

    def pack_what_vanishes(context: Context, **options: Any) -> Archive:
        if temporary:
            temporary.pop().unlink()
        return pack(context, **options)

    monkeypatch.setattr("sealift.cli.deploy.context_upload.pack", pack_what_vanishes)
    async with Client(server.endpoint) as client:
        deploy = Deploy(client, PlainOutput(), 0.0).run(
            Plan("hello", "production", use_git=False), sealift.cwd, detach=True, wait_timeout_s=9
        )
        if code == "dep_1":
            assert await deploy == 0
            assert set(sent(server, 0)) == {"Dockerfile", "app.py"}
        else:
            with pytest.raises(InputError, match="temporary0 was removed while it was packed") as caught:
                await deploy
            assert caught.value.code == code


async def test_dates_from_deploy_to_deploy(sealift: Program, server: FakeServer) -> None:
    """Promise: modification times are sent unchanged; new content with an old time gets the time of the deploy."""
    app = sealift.cwd / "app.py"
    os.utime(app, (1.5e9, 1.5e9))
    await sealift("deploy")
    assert sent(server, 0)["app.py"].mtime == 1_500_000_000
    app.write_text("print(2)\n")
    os.utime(app, (1.5e9, 1.5e9))
    for _ in range(2):
        assert (await sealift("deploy")).code == 0
    first, second = sent(server, 1)["app.py"].mtime, sent(server, 2)["app.py"].mtime
    assert first == second > 1_700_000_000
    trees = [request.build_context.tree_sha256 for request in server.created]
    assert trees[0] != trees[1] == trees[2]


async def test_a_new_checkout_is_the_same_tree(sealift: Program, server: FakeServer) -> None:
    """Promise: other times change the archive but not the tree of an idempotency key; another mode changes both."""
    for number, mode in enumerate((0o644, 0o644, 0o640)):
        (sealift.cwd / "app.py").chmod(mode)
        os.utime(sealift.cwd / "app.py", (1.5e9 + number, 1.5e9 + number))
        await sealift("deploy")
    contexts = [request.build_context for request in server.created]
    assert contexts[0].build_context_path != contexts[1].build_context_path
    assert contexts[0].tree_sha256 == contexts[1].tree_sha256 != contexts[2].tree_sha256


@pytest.mark.parametrize("how", [(), ("--dry-run",)])
async def test_a_sparse_file(sealift: Program, server: FakeServer, how: tuple[str, ...]) -> None:
    """Promise: sparse files of gigabytes are refused by name at once, also by a dry run."""
    with (sealift.cwd / "disk.img").open("wb") as file:
        file.truncate(5 << 30)
    done = await sealift("deploy", *how)
    assert done.code == 2
    assert "disk.img is a sparse file of 5.0 GiB" in done.err
    assert not server.store.puts
