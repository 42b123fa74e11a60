"""Finds all error codes in the source, from its syntax trees. Pure, except for reading the files.

A code is (a) what an error class of ours is raised with, itself or by the name of a constant, after the family that
some classes put before it, (b) a literal given or assigned to a name that is or ends in `code`, (c) `build.<kind>`
for every kind of failed build, and `registry.<problem>` for every problem of a registry. Codes also travel through
variables and tables; so (d) every literal of the form `family.word` counts whose family one of (a) to (c) has, unless
it names a file or is listed in `NOT_CODES`. Better one line too many there than a code that nobody can look up.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pkg.builds.failures import FailureKind
from pkg.registry.errors import RegistryProblem

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pkg", "svc", "sealift", "build")
_NAMED = re.compile(r"(?:\w+_)?code", re.IGNORECASE)
# Literals that look like codes but are not: configuration keys, spans, Envoy's extensions.
NOT_CODES = frozenset({
    "engine.private", "engine.socket", "envoy.hashable_string", "ingress.apex_domain",
    "krane.apply_routes", "krane.start_instance", "registry.insecure", "registry.url",
})  # fmt: skip

_DOTTED = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_PLAIN = re.compile(r"[a-z][a-z_]*")
_FILE = re.compile(r".*\.(cjs|clj|db|gradle|js|json|key|log|pem|pid|mjs|pub|py|sbt|sock|tmp|toml|ts)")


def codes() -> frozenset[str]:
    """All codes; those without a dot are fallbacks, named after gRPC statuses."""
    trees = tuple(_trees())
    classes, constants = _families(trees), _constants(trees)
    found = {f"build.{kind}" for kind in FailureKind} | {f"registry.{problem}" for problem in RegistryProblem}
    for tree in trees:
        found |= {
            code for code in _stated(tree, classes, constants) if _DOTTED.fullmatch(code) or _PLAIN.fullmatch(code)
        }
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


def _families(trees: tuple[ast.Module, ...]) -> dict[str, str]:
    """All descendants of SealiftError and ClientError, and what each puts before its code ("context."), mostly ""."""
    nodes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found = {"SealiftError", "ClientError"}
    while more := {name for name, node in nodes.items() if found & {_name(base) for base in node.bases}} - found:
        found |= more
    return {name: _prefix(nodes[name]) for name in found if name in nodes}


def _prefix(node: ast.ClassDef) -> str:
    """The family in `super().__init__(f"family.{code}", ...)`."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and _name(call.func) == "__init__" and call.args:
            first = call.args[0]
            if isinstance(first, ast.JoinedStr) and first.values:
                return next(_text(first.values[0]), "")
    return ""


def _constants(trees: tuple[ast.Module, ...]) -> dict[str, list[str]]:
    """The texts of module constants, by name; modules may use one name for different ones."""
    found: dict[str, list[str]] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and _name(node.targets[0]).isupper():
                found.setdefault(_name(node.targets[0]), []).extend(_text(node.value))
    return found


def _stated(tree: ast.Module, families: dict[str, str], constants: dict[str, list[str]]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            # InvalidArgument takes the field first, classes of the client the message: only a code's form counts
            if _name(node.func) in families.keys() - {"InvalidArgument"} and node.args:
                family = families[_name(node.func)]
                texts = [*_text(node.args[0]), *constants.get(_name(node.args[0]), ())]
                yield from (code for code in (f"{family}{text}" for text in texts) if "." in code)
            for keyword in node.keywords:
                if keyword.arg and _NAMED.fullmatch(keyword.arg):
                    yield from _text(keyword.value)
        elif isinstance(node, ast.Assign) and any(_NAMED.fullmatch(_name(target)) for target in node.targets):
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
