"""`${VAR}` and `${VAR:-default}` in strings, as a shell reads them. `$${` stands for `${` itself."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)(?P<end>\}?)")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>:-(?P<default>.*))?", re.DOTALL)


def has_reference(text: str) -> bool:
    """Whether `text` would be changed by `expand`."""
    return _REFERENCE.search(text) is not None


def escape(text: str) -> str:
    """What `expand` turns into `text`, whatever it holds: for values in configuration files that programs write."""
    return text.replace("${", "$${")


def expand(text: str, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """`text` with its variables filled in, and what is wrong with it (the text is of no use then).

    `${VAR}` must be set, empty is fine; `${VAR:-default}` falls back when VAR is unset or empty. What a variable
    holds is not expanded again.
    """
    wrong: list[str] = []

    def fill(match: re.Match[str]) -> str:
        if match["body"] is None:
            return "${"
        body = _BODY.fullmatch(match["body"])
        if not match["end"] or body is None:
            wrong.append(
                f"{match[0]!r} is not a variable; write ${{NAME}} or ${{NAME:-default}}, or $${{ for a plain ${{"
            )
            return ""
        if body["rest"] is not None:
            return env.get(body["name"]) or body["default"]
        if body["name"] not in env:
            wrong.append(f"environment variable {body['name']} is not set")
            return ""
        return env[body["name"]]

    return _REFERENCE.sub(fill, text), wrong
