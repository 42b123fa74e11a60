"""The text of a BUILD file, formatted as buildifier formats it."""

import re
from collections.abc import Iterable, Mapping, Sequence

from dev.bazel.graph import Target
from dev.bazel.settings import NEEDS_THE_MACHINE

HEADER = (
    "# py_library and pytest_test are written by `make bazel` from the imports; other rules are kept as they are.\n"
)
LOADS = {
    "py_library": "@rules_python//python:py_library.bzl",
    "pytest_test": "//build/util:pytest_test.bzl",
}
_EVERYONE = ("//:__subpackages__",)


def build_file(package: str, targets: Iterable[Target], data: Mapping[str, Sequence[str]], before: str = "") -> str:
    """The BUILD file of `package`.

    Args:
        package: The folder, from the root.
        targets: Its targets.
        data: Files that a module reads, by the path of the module.
        before: The text of the file now: rules that are not ours are kept, with the loads that they need.
    """
    made = list(targets)
    rules = [_rule(package, target, data) for target in made]
    kept, loads = _kept(before)
    for kind in {"pytest_test" if target.is_test else "py_library" for target in made}:
        loads.setdefault(LOADS[kind], set()).add(kind)
    default = f"package({_attribute('default_visibility', visibility(package), '').strip().rstrip(',')})"
    parts = [HEADER.rstrip(), _loads(loads), default, *kept, *rules]
    head = f"{parts[0]}\n\n" if not parts[1] else f"{parts[0]}\n{parts[1]}\n\n"
    return head + "\n\n".join(parts[2:]) + "\n"


def visibility(package: str) -> tuple[str, ...]:
    """Who may depend on what stands in `package`: the import rules of the architecture, as Bazel enforces them."""
    parts = package.split("/")
    if parts[0] == "tests":
        return ("//tests:__subpackages__",)
    if parts[0] == "svc" and len(parts) > 1:
        own = f"{parts[0]}/{parts[1]}"
        return (f"//build/{parts[1]}:__subpackages__", "//dev:__subpackages__", f"//{own}:__subpackages__",
                "//tests:__subpackages__")  # fmt: skip
    return _EVERYONE


def label(package: str, target: tuple[str, str]) -> str:
    """How a rule of `package` names the target."""
    folder, name = target
    if folder == package:
        return f":{name}"
    return f"//{folder}" if folder.rsplit("/", 1)[-1] == name else f"//{folder}:{name}"


def _rule(package: str, target: Target, data: Mapping[str, Sequence[str]]) -> str:
    files = sorted({file for src in target.srcs for file in data.get(f"{package}/{src}", ())}, key=_order)
    deps = sorted([*(label(package, dep) for dep in target.deps), *target.wheels], key=_order)
    lines = [f"{'pytest_test' if target.is_test else 'py_library'}(", f'    name = "{target.name}",']
    if target.testonly and not target.is_test:
        lines.append("    testonly = True,")
    lines.append(_attribute("srcs", sorted(target.srcs, key=_order)))
    if files:
        lines.append(_attribute("data", files))
    if target.is_test and any(f"{package}/{src}".startswith(NEEDS_THE_MACHINE) for src in target.srcs):
        lines.append(_attribute("tags", ["manual"]))
    if deps:
        lines.append(_attribute("deps", deps))
    return "\n".join([*lines, ")"])


def _attribute(name: str, values: Sequence[str], indent: str = "    ") -> str:
    if len(values) == 1:
        return f'{indent}{name} = ["{values[0]}"],'
    inner = "\n".join(f'{indent}    "{value}",' for value in values)
    return f"{indent}{name} = [\n{inner}\n{indent}],"


def _loads(loads: Mapping[str, set[str]]) -> str:
    # Other people's files first, each group by label.
    lines = sorted(loads, key=lambda file: (not file.startswith("@"), file))
    return "\n".join(f'load("{file}", {", ".join(f"{chr(34)}{name}{chr(34)}" for name in sorted(loads[file]))})'
                     for file in lines)  # fmt: skip


def _kept(text: str) -> tuple[list[str], dict[str, set[str]]]:
    """Statements of `text` that are not ours, and what they load."""
    statements = [block.strip("\n") for block in re.split(r"\n{2,}(?=\S)", text) if block.strip()]
    kept: list[str] = []
    loads: dict[str, set[str]] = {}
    for block in statements:
        lines = [line for line in block.splitlines() if line + "\n" != HEADER]
        code = [line for line in lines if not line.startswith("#")]
        while code and (match := _LOAD.fullmatch(code[0])):
            if match["file"] not in LOADS.values():
                loads.setdefault(match["file"], set()).update(re.findall(r'"([^"]+)"', match["names"]))
            lines.remove(code.pop(0))
        if code and not code[0].startswith(("py_library(", "pytest_test(", "package(")):
            kept.append("\n".join(lines))
    return kept, loads


_LOAD = re.compile(r'load\("(?P<file>[^"]+)", (?P<names>.+)\)')


def _order(value: str) -> tuple[int, list[str]]:
    """Buildifier's order of strings: plain, ":" labels, "//" labels, "@" labels; parts between . and : one by one."""
    phase = 3 if value.startswith("@") else 2 if value.startswith("//") else 1 if value.startswith(":") else 0
    return phase, value.replace(":", ".").split(".")
