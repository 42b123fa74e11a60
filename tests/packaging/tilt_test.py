"""dev/Tiltfile in a Starlark interpreter, with recording stand-ins for Tilt's functions. Tilt itself is not run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import starlark as sl
from ruamel.yaml import YAML

from dev.k8s.rendering import OVERLAYS, pod_specs, render
from pkg.testing.parts import prepared_part
from tests.packaging.repository import IMAGES, ROOT, SERVICES

KNOWN = (
    "custom_build", "dc_resource", "docker_compose", "k8s_resource", "k8s_yaml", "local", "local_resource",
    "watch_file",
)  # fmt: skip
PRELUDE = (
    "".join(f"def {name}(*args, **given):\n    _called('{name}', args, given)\n" for name in KNOWN)
    + """
def kustomize(path):
    return "kustomize " + path
config = struct(
    define_bool = lambda name, usage: _defined(name, "bool"),
    define_string = lambda name, usage: _defined(name, "string"),
    parse = lambda: _FLAGS,
    tilt_subcommand = _SUBCOMMAND,
)
"""
)


@dataclass(frozen=True)
class Call:
    """What was given to a function of Tilt."""

    args: tuple[Any, ...]
    given: dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """Calls by function, and flags by type."""

    calls: Mapping[str, list[Call]]
    flags: Mapping[str, str]

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Resources of Kubernetes and local ones, by the names that Tilt shows."""
        found = {call.given["new_name"]: call.given for call in self.calls["k8s_resource"]}
        return found | {call.args[0]: call.given for call in self.calls["local_resource"]}


def evaluate(flags: dict[str, Any] | None = None, subcommand: str = "up") -> Evaluated:
    calls: dict[str, list[Call]] = {name: [] for name in KNOWN}
    defined: dict[str, str] = {}
    module = sl.Module()
    module.add_callable("_called", lambda name, args, given: calls[name].append(Call(tuple(args), given)))
    module.add_callable("_defined", defined.__setitem__)
    module["_FLAGS"] = flags or {}
    module["_SUBCOMMAND"] = subcommand
    globals_ = sl.Globals.extended_by([sl.LibraryExtension.StructType])
    tree = sl.parse("Tiltfile", PRELUDE + (ROOT / "dev/Tiltfile").read_text(), dialect=sl.Dialect.extended())
    sl.eval(module, tree, globals_)
    return Evaluated(calls, defined)


def test_every_image_is_built_by_its_target() -> None:
    """Promise: under the names that compose and Kubernetes run, again when its sources change; none is forgotten."""
    built = {call.args[0]: call for call in evaluate().calls["custom_build"]}
    assert set(built) == {f"sealift/{image.replace('_', '-')}" for image in IMAGES}
    for image in IMAGES:
        call = built[f"sealift/{image.replace('_', '-')}"]
        assert (call.args[1], call.given["tag"]) == (f"bazel run //build/{image}:load", "dev")
        assert all((ROOT / "dev" / path).exists() for path in call.given["deps"])
        assert {f"../build/{image}", "../build/util"} <= set(call.given["deps"])
        if image in SERVICES:
            assert {f"../svc/{image}", "../pkg"} <= set(call.given["deps"])


def test_kubernetes_is_the_usual_way() -> None:
    """Promise: what it applies is the local overlay, and each workload of that is a resource with a label."""
    said = evaluate()
    assert said.calls["k8s_yaml"] == [Call(("kustomize k8s/overlays/local",), {})]
    kubectl = str(prepared_part("kubernetes") / "root/usr/bin/kubectl")
    workloads = {name for name, _ in pod_specs(render(OVERLAYS / "local", program=kubectl))}
    assert {call.args[0] for call in said.calls["k8s_resource"]} == workloads
    assert all(given["labels"] for given in said.resources.values())
    assert said.calls["docker_compose"] == []


def test_resources_start_in_the_order_of_their_needs() -> None:
    """Promise: keys, then the workflow engine and the database, then the api, then who calls it; no circle."""
    resources = evaluate().resources
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...] = ()) -> None:
        assert name not in path, f"a circle: {path}"
        for needed in resources[name].get("resource_deps", ()):
            visit(needed, (*path, name))
        if name not in order:
            order.append(name)

    for name in resources:
        visit(name)
    assert order.index("secrets") < order.index("restate") < order.index("api")
    assert order.index("migrate") < order.index("api") < min(order.index("worker"), order.index("krane"))


def forwards(said: Evaluated) -> set[int]:
    found = [port for given in said.resources.values() for port in given.get("port_forwards", ())]
    assert all(port.partition(":")[0] == port.partition(":")[2] for port in found)
    return {int(port.partition(":")[0]) for port in found}


def test_ports_are_forwarded_as_one_machine_has_them() -> None:
    """Promise: the command line and a browser work as with `make up`; more ports on demand."""
    assert forwards(evaluate()) == {7400, 7401, 7480}
    assert forwards(evaluate({"metrics": True, "restate-admin": True})) == {7400, 7401, 7403, 7404, 7480, 9070}


def test_ci_has_a_verdict() -> None:
    """Promise: `tilt ci` ends with an error unless an app was deployed and answered."""
    assert "check" not in evaluate().resources
    for said in (evaluate(subcommand="ci"), evaluate({"check": True})):
        check = said.resources["check"]
        assert (ROOT / "dev" / check["cmd"]).stat().st_mode & 0o111
        assert set(check["resource_deps"]) == {"worker", "krane"}


def test_compose_is_the_second_way() -> None:
    """Promise: with --compose the same images run as compose.yaml says, and nothing is asked of Kubernetes."""
    said = evaluate({"compose": True})
    assert said.calls["local"] == [Call(("./compose.sh prepare",), {"quiet": True})]
    assert said.calls["docker_compose"] == [Call(("compose.yaml",), {})]
    parts = YAML(typ="safe").load((ROOT / "dev/compose.yaml").read_text())["services"]
    assert sorted(call.args[0] for call in said.calls["dc_resource"]) == sorted(parts)
    assert (said.calls["k8s_yaml"], said.calls["k8s_resource"]) == ([], [])


@pytest.mark.parametrize("flag", ["compose", "overlay", "check", "metrics", "restate-admin"])
def test_every_flag_is_defined_before_it_is_read(flag: str) -> None:
    """Promise: Tilt refuses flags that nobody defined."""
    text = (ROOT / "dev/Tiltfile").read_text()
    assert evaluate().flags[flag] == ("string" if flag == "overlay" else "bool")
    assert f'flags.get("{flag}"' in text
