"""Which stable error codes the source can produce, read from its syntax trees. Pure but for reading the files.

A code is (a) what an error class of ours is raised with, (b) a literal given or assigned to something named `code`,
`error_code` or `default_code`, (c) `build.<kind>` for every kind of failed build. Codes also travel through variables
and tables; so (d) every literal of the form `family.word` counts whose family one of (a) to (c) has, unless it names a
file or is listed in `NOT_CODES`. Better one line too many there than a code that nobody can look up.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pkg.buildkit.kinds import FailureKind

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pkg", "svc", "sealift", "build")
NAMED = frozenset({"code", "error_code", "default_code"})
# Literals that look like codes and are none: configuration keys, spans.
NOT_CODES = frozenset({"engine.private", "engine.socket", "ingress.apex_domain", "krane.start_instance"})

_DOTTED = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_PLAIN = re.compile(r"[a-z][a-z_]*")
_FILE = re.compile(r".*\.(db|json|key|log|pem|pid|pub|py|sock|toml)")


def codes() -> frozenset[str]:
    """Every code; those without a dot are fallbacks, named after gRPC statuses."""
    trees = tuple(_trees())
    classes = _error_classes(trees)
    found = {f"build.{kind}" for kind in FailureKind}
    for tree in trees:
        found |= {code for code in _stated(tree, classes) if _DOTTED.fullmatch(code) or _PLAIN.fullmatch(code)}
    families = {code.partition(".")[0] for code in found if "." in code}
    for tree in trees:
        found |= {text for text in _literals(tree) if text.partition(".")[0] in families}
    return frozenset(found - NOT_CODES)


def _trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.endswith(("_test.py", "_pb2.py", "_pb2_grpc.py")) and "testing" not in str(path):
                yield _parse(path)


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _error_classes(trees: tuple[ast.Module, ...]) -> frozenset[str]:
    """Names of all descendants of SealiftError and ClientError."""
    bases = {
        node.name: {_name(base) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"SealiftError", "ClientError"}
    while more := {name for name, its in bases.items() if its & found} - found:
        found |= more
    return frozenset(found)


def _stated(tree: ast.Module, classes: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            # InvalidArgument takes the field first, classes of the client the message: only a code's form counts
            if _name(node.func) in classes - {"InvalidArgument"} and node.args:
                yield from (text for text in _text(node.args[0]) if "." in text)
            for keyword in node.keywords:
                if keyword.arg in NAMED:
                    yield from _text(keyword.value)
        elif isinstance(node, ast.Assign) and any(_name(target) in NAMED for target in node.targets):
            yield from _text(node.value)


def _literals(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for text in _text(node):
            if _DOTTED.fullmatch(text) and not _FILE.fullmatch(text):
                yield text


def _text(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _name(node: ast.AST) -> str:
    return str(getattr(node, "id", getattr(node, "attr", "")))
