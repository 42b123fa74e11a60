"""How two deployments differ, as rows. Pure."""

import shlex
from collections.abc import Iterator
from typing import Any

from sealift.cli.format.image_text import short_image
from sealift.cli.format.message_json import message_to_dict
from sealift.cli.format.text import clean
from sealift.ctrl.v1 import deployment_pb2

_VARIABLES = {
    deployment_pb2.VARIABLE_COMPARISON_DIFFERENT: ("set", "set, another value"),
    deployment_pb2.VARIABLE_COMPARISON_ONLY_FIRST: ("set", ""),
    deployment_pb2.VARIABLE_COMPARISON_ONLY_SECOND: ("", "set"),
}


def difference_rows(found: deployment_pb2.CompareDeploymentsResponse) -> list[tuple[str, str, str]]:
    """Name, value of the first and value of the second of all that differs ("": it has none); of variables no value."""
    facts = [_facts(one) for one in (found.deployment, found.other)]
    settings = [dict(_settings(message_to_dict(one.settings), "")) for one in (found.deployment, found.other)]
    rows = [(name, first, second) for (name, first), (_, second) in zip(*facts, strict=True) if first != second]
    for name in sorted({*settings[0], *settings[1]}):
        first, second = (clean(one.get(name, "")) for one in settings)
        if first != second:
            rows.append((name, first, second))
    rows += [
        (f"variable {clean(one.name)}", *_VARIABLES[one.comparison])
        for one in found.variables
        if one.comparison in _VARIABLES
    ]
    return rows


def same_variables_text(found: deployment_pb2.CompareDeploymentsResponse) -> str:
    """How many variables have the same value in both; "" for none."""
    count = sum(one.comparison == deployment_pb2.VARIABLE_COMPARISON_SAME for one in found.variables)
    if not count:
        return ""
    return "1 variable is the same in both" if count == 1 else f"{count} variables are the same in both"


def _facts(one: deployment_pb2.Deployment) -> list[tuple[str, str]]:
    git = one.git_commit
    return [
        ("environment", clean(one.environment_slug)),
        ("branch", clean(one.branch)),
        ("commit", clean(f"{git.commit_sha[:12]} {git.commit_message.partition(chr(10))[0]}".strip())),
        ("image", clean(short_image(one.image_ref))),
        ("image as named", clean(one.docker_image)),
        ("build", clean(one.build_id)),
    ]


def _settings(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Settings under dotted names, e.g. "health_check.path"; a list as words of a shell."""
    for name, value in values.items():
        if name == "processes" and isinstance(value, dict):
            for process in value.get("values", ()):
                facts = {key: fact for key, fact in process.items() if key != "name"}
                yield from _settings(facts, f"{prefix}{name}.{process['name']}.")
        elif isinstance(value, dict) and set(value) == {"values"}:
            yield prefix + name, shlex.join(value["values"])
        elif isinstance(value, dict):
            yield from _settings(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, str(value)
