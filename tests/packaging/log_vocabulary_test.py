"""Every field that the code may log has a name of the one vocabulary."""

import ast
from collections.abc import Iterator

from pkg.observability.log_fields import EVERY_LINE, NEVER, OWN
from tests.harness.log_fields import allowed, proto_fields
from tests.packaging.repository import ROOT, files

# The formatter's own, and the access log's: the latter come from a variable.
_BUILT = {*EVERY_LINE, "client_address", "exc", "method", "transport"}


def logged() -> Iterator[tuple[str, str, str]]:
    """(place, name, value) of each field named in a call of `fields` or `bind`."""
    for path in files("*.py"):
        place = path.relative_to(ROOT)
        if place.parts[0] not in {"pkg", "svc", "build"} or path.stem.endswith("_test") or "testing" in place.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in {"fields", "bind"}:
                for keyword in node.keywords:
                    if keyword.arg:
                        yield f"{place}:{node.lineno}", keyword.arg, ast.unparse(keyword.value)


def _called(call: ast.Call) -> str:
    """The last word of what is called: also json_logging.fields."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def test_every_logged_name_is_in_the_vocabulary() -> None:
    """Promise: who knows the protos can read the logs. New names go into pkg/observability/log_fields.py."""
    found = list(logged())
    assert len(found) > 50
    assert [f"{place}: {name}" for place, name, _ in found if name not in allowed()] == []


def test_no_word_is_without_use_or_has_two_meanings() -> None:
    """Promise: the list is as long as it must be."""
    used = {name for _, name, _ in logged()} | _BUILT
    assert sorted(set(OWN) - used) == []
    assert sorted(set(OWN) & proto_fields()) == []
    assert sorted(NEVER - proto_fields()) == []


def test_values_are_concrete() -> None:
    """Promise: no repr of an object and no message as a whole gets into a line."""
    assert [f"{place}: {name}={value}" for place, name, value in logged() if "repr(" in value or "pb2" in value] == []
