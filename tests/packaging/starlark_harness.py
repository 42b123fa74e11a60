"""The loading phase of Bazel in a Starlark interpreter: BUILD files, macros and MODULE.bazel on recording stubs.

A stub declares which attributes a rule or a tag class has. Every call is recorded and checked: unknown attribute, wrong
type, missing one. What a rule does is not run; `dev/bazel/bazel4.sh` does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import starlark as sl

from tests.packaging.bazel_stubs import MODULE
from tests.packaging.repository import ROOT

TYPES: Mapping[str, type] = {
    "string": str, "label": str, "bool": bool, "int": int, "label_list": list, "string_list": list,
    "string_dict": dict, "string_list_dict": dict, "output": str,
}  # fmt: skip
COMMON = {"name", "visibility", "tags", "testonly", "target_compatible_with"}
PRELUDE = f"""
def _attribute(kind):
    def make(doc = None, *, default = None, mandatory = False, **kw):
        return {{"kind": kind, "mandatory": mandatory}}
    return make
attr = struct(**{{kind: _attribute(kind) for kind in {sorted(TYPES)}}})
def rule(implementation = None, *, attrs = {{}}, **kw):
    ident = _declare(attrs)
    def call(**given):
        _call(ident, given)
    return call
def _native(kind):
    def call(*names, **given):
        _call_native(kind, given)
    return call
alias = _native("alias")
config_setting = _native("config_setting")
exports_files = _native("exports_files")
package = _native("package")
platform = _native("platform")
depset = None
DefaultInfo = None
def provider(doc = "", *, fields = None):
    return None
def transition(**kw):
    return None
def select(choices, no_match_error = ""):
    return {{"select": choices}}
"""


@dataclass(frozen=True)
class Call:
    """A rule or tag that was used: its name, where it was declared, and what it was given."""

    kind: str
    given: dict[str, Any]


@dataclass
class Starlark:
    """Evaluates files of the repository; labels in `stubs` ("@module//package:file.bzl") stand for other people's."""

    stubs: Mapping[str, str]
    calls: list[Call] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _declared: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _modules: dict[str, Any] = field(default_factory=dict)
    _evaluating: list[str] = field(default_factory=list)
    _package: str = ""

    def build_file(self, package: str) -> list[Call]:
        """What the BUILD file of `package` declares, in its order."""
        return self.build_text(package, (ROOT / package / "BUILD.bazel").read_text(encoding="utf-8"))

    def build_text(self, package: str, text: str) -> list[Call]:
        """What a BUILD file with this text would declare in `package`."""
        self._package = package
        return self._recorded(f"//{package}/BUILD.bazel", text)

    def module_file(self) -> list[Call]:
        """What MODULE.bazel asks for."""
        return self._recorded("//MODULE.bazel", MODULE + (ROOT / "MODULE.bazel").read_text(encoding="utf-8"))

    def _recorded(self, label: str, text: str) -> list[Call]:
        first = len(self.calls)
        self._evaluate(label, text)
        return self.calls[first:]

    def _declare(self, attributes: dict[str, Any]) -> int:
        self._declared.append((self._evaluating[-1], attributes))
        return len(self._declared) - 1

    def _call(self, ident: int, given: dict[str, Any]) -> None:
        where, attributes = self._declared[ident]
        self.calls.append(Call(where, given))
        who = f"{where} {given.get('name')}"
        for name, value in given.items():
            if value is None or name in COMMON:
                continue
            if name not in attributes:
                self.problems.append(f"{who}: no attribute {name}")
                continue
            kind = attributes[name]["kind"]
            choices = value["select"].values() if isinstance(value, dict) and "select" in value else [value]
            self.problems += [
                f"{who}: {name} wants {kind}, got {choice!r}" for choice in choices if type(choice) is not TYPES[kind]
            ]
        needed = {name for name, attribute in attributes.items() if attribute["mandatory"]}
        self.problems += [f"{who}: {name} is missing" for name in sorted(needed) if given.get(name) is None]

    def _call_native(self, kind: str, given: dict[str, Any]) -> None:
        self.calls.append(Call(f"native.{kind}", given))

    def _load(self, label: str) -> Any:
        if label not in self._modules:
            text = self.stubs.get(label)
            if text is None:
                path = label.removeprefix("//").replace(":", "/")
                text = (ROOT / Path(path)).read_text(encoding="utf-8")
            self._modules[label] = self._evaluate(label, text).freeze()
        return self._modules[label]

    def _evaluate(self, key: str, text: str) -> Any:
        module = sl.Module()
        module.add_callable("_declare", self._declare)
        module.add_callable("_call", self._call)
        module.add_callable("_call_native", self._call_native)
        prelude = PRELUDE + f'native = struct(package_name = lambda: "{self._package}")\n'
        globals_ = sl.Globals.extended_by([sl.LibraryExtension.StructType, sl.LibraryExtension.Json])
        self._evaluating.append(key)
        try:
            tree = sl.parse(key, prelude + text, dialect=sl.Dialect.extended())
            sl.eval(module, tree, globals_, sl.FileLoader(self._load))
        finally:
            self._evaluating.pop()
        return module
