"""Figure 2: packing and uploading a large tree, compared with tar and curl; and an unchanged tree."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from pkg.testing.ports import free_port
from tests.bench.figure import Figure
from tests.bench.polling import until_answers
from tests.bench.rounds import interleaved
from tests.harness.stack import ROOT, Stack, finish

MIB = 1 << 20
TREE_BYTES = 200 * MIB
SEED = 20_261


def measure(stack: Stack, scratch: Path, rounds: int) -> list[Figure]:
    """The figures. Both ways upload to the same small server, which stores the body in a file."""
    tree = make_tree(scratch / "tree", TREE_BYTES)
    port = free_port()
    sink = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sink", str(port), str(scratch / "stored")], cwd=ROOT,
    )  # fmt: skip
    try:
        until_answers("127.0.0.1", port, "localhost", "sink")
        url = f"http://127.0.0.1:{port}/stored"
        pairs = interleaved(rounds, lambda _: _by_client(tree, url), lambda _: _by_tar(tree, url))
    finally:
        sink.terminate()
        sink.wait(10)
    return [
        Figure(
            "pack and upload 200 MB, over tar -cz | curl -T -", "ratio",
            [ours for ours, _ in pairs], "ms", [theirs for _, theirs in pairs], mark=1.1,
        ),
        *_unchanged(stack, tree, rounds),
    ]  # fmt: skip


def make_tree(root: Path, size_bytes: int) -> Path:
    """A realistic tree: a quarter small source files, a quarter random data, the rest large compressible files."""
    chance = random.Random(SEED)
    words = [f"{chance.getrandbits(40):x}"[: chance.randint(2, 9)] for _ in range(3000)]

    def text(count: int) -> bytes:
        lines = []
        left = count
        while left > 0:
            line = " ".join(chance.choices(words, k=10)) + "\n"
            lines.append(line)
            left -= len(line)
        return "".join(lines).encode()[:count]

    root.mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    small = 8 << 10
    pool = text(4 * MIB)
    for number in range(size_bytes // 4 // small):
        folder = root / f"src/{number % 97:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        start = chance.randrange(len(pool) - small)
        (folder / f"module_{number}.py").write_bytes(f"# {number}\n".encode() + pool[start : start + small - 10])
    for number in range(size_bytes // 4 // (5 * MIB)):
        (root / f"image_{number}.bin").write_bytes(chance.randbytes(5 * MIB))
    for number in range(size_bytes // 2 // (20 * MIB)):
        (root / f"log_{number}.txt").write_bytes(text(20 * MIB))
    return root


def _by_client(tree: Path, url: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "tests.bench.send", str(tree), url], cwd=ROOT, check=True, timeout=300)
    return (time.monotonic() - began) * 1000


def _by_tar(tree: Path, url: str) -> float:
    began = time.monotonic()
    with subprocess.Popen(["tar", "-C", str(tree), "-cz", "."], stdout=subprocess.PIPE) as tar:
        curl = ["curl", "-sSf", "-o", os.devnull, "-T", "-", url]
        subprocess.run(curl, stdin=tar.stdout, check=True, timeout=300)
        assert tar.stdout is not None
        tar.stdout.close()
    if tar.returncode != 0:
        raise RuntimeError(f"tar ended with {tar.returncode}")
    return (time.monotonic() - began) * 1000


def _unchanged(stack: Stack, tree: Path, rounds: int) -> list[Figure]:
    """Deploy the tree to the real stack repeatedly; measure the packed and sent bytes and the time."""
    stack.sealift("projects", "create", "bench-tree")
    took, sent, packed = [], [], []
    for _ in range(1 + rounds):
        began = time.monotonic()
        done = finish(stack.start_cli("deploy", str(tree), "--project", "bench-tree", "--detach", "--json"))
        took.append((time.monotonic() - began) * 1000)
        if done.code != 0:
            raise RuntimeError(f"deploy --detach ended with {done.code}: {done.err}")
        events = [json.loads(line) for line in done.out.splitlines()]
        sent.append(float(sum(event["bytes"] for event in events if event["event"] == "uploaded")))
        packed.append(float(sum(event["bytes"] for event in events if event["event"] == "packed")))
        stack.sealift("cancel", events[-1]["deployment_id"])
    return [
        Figure("  unchanged tree: bytes sent", "value", sent[1:], "bytes", mark=0),
        Figure("  unchanged tree: bytes packed", "value", packed[1:], "bytes", mark=0),
        Figure("  deploy --detach of the tree, first", "value", took[:1], "ms"),
        Figure("  deploy --detach of the tree, unchanged", "value", took[1:], "ms"),
    ]
