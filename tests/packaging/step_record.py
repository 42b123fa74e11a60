"""The recorded steps of the worker's workflows: their names and the fields of what they return.

Journals of invocations under way hold both. `python -m tests.packaging.step_record` records what the code has; together
with it, raise the `CODE_VERSION` of every workflow that runs a changed step.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.packaging.repository import ROOT, files

RECORD = Path(__file__).with_name("steps.txt")
WORKFLOWS = "svc/worker/workflows"


def current() -> list[str]:
    """The steps of the code, one line each, sorted, after the code versions."""
    return sorted({line for path in files("*.py") for line in _lines(path.relative_to(ROOT))})


def recorded() -> list[str]:
    """The steps as they were recorded."""
    return RECORD.read_text(encoding="utf-8").splitlines()


def _lines(path: Path) -> Iterator[str]:
    if not str(path).startswith(f"{WORKFLOWS}/") or path.name.endswith("_test.py"):
        return
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    folder = path.parent.name
    if hasattr(module, "CODE_VERSION"):
        yield f"{folder}: code version {module.CODE_VERSION}"
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        texts = [one for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if name in ("step", "watch") and texts:
            following = node.args[node.args.index(texts[0]) + 1]
            action = eval(ast.unparse(following), vars(module))
            yield f"{folder}: step {texts[0].value!r} returns {_shape(action)}"


def _shape(action: object) -> str:
    assert callable(action)
    kind = inspect.signature(action, eval_str=True).return_annotation
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        shown = (f"{field.encode_name}: {_name(field.type)}" for field in msgspec.structs.fields(kind))
        return "{" + ", ".join(sorted(shown)) + "}"
    return _name(kind)


def _name(kind: object) -> str:
    """A type without its module: where a class stands is free to change, and so is its name if it is a struct."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _shape_of_nested(kind)
    arguments = getattr(kind, "__args__", ())
    if arguments:
        origin = getattr(kind, "__origin__", None)
        return f"{getattr(origin, '__name__', 'union')}[{', '.join(map(_name, arguments))}]"
    return getattr(kind, "__name__", str(kind))


def _shape_of_nested(kind: type[msgspec.Struct]) -> str:
    shown = (f"{field.encode_name}: {_name(field.type)}" for field in msgspec.structs.fields(kind))
    return "{" + ", ".join(sorted(shown)) + "}"


def main() -> int:
    """Write the record."""
    RECORD.write_text("\n".join(current()) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
