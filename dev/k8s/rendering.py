"""What an overlay comes to, as kubectl renders it."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

NAMESPACE = "sealift"
OVERLAYS = Path(__file__).with_name("overlays")
TIMEOUT_S = 60

Manifest = dict[str, Any]


class KubectlError(Exception):
    """kubectl's own message."""


def kubectl(words: Sequence[str], *, stdin: str = "", program: str = "kubectl") -> str:
    """What kubectl prints. Raises KubectlError."""
    try:
        done = subprocess.run(
            [program, *words], input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise KubectlError(f"{program} is missing: install it (Debian: apt-get install kubernetes-client)") from error
    if done.returncode:
        raise KubectlError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def render(overlay: str | os.PathLike[str], *, program: str = "kubectl") -> list[Manifest]:
    """The objects of an overlay's folder. Raises KubectlError."""
    text = kubectl(["kustomize", os.fspath(overlay)], program=program)
    return [document for document in YAML(typ="safe").load_all(text) if document]


def pod_specs(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Of everything that makes Pods: its name and the specification."""
    for manifest in manifests:
        template = manifest.get("spec", {}).get("template") if manifest["kind"] != "Service" else None
        if template:
            yield manifest["metadata"]["name"], template["spec"]


def secrets_used(manifests: Sequence[Manifest]) -> dict[str, set[str]]:
    """Secrets that Pods name, with the keys that they read."""
    found: dict[str, set[str]] = {}
    for _, spec in pod_specs(manifests):
        for pull in spec.get("imagePullSecrets", ()):
            found.setdefault(pull["name"], set()).add(".dockerconfigjson")
        for volume in spec.get("volumes", ()):
            sources = [
                source["secret"] for source in volume.get("projected", {}).get("sources", ()) if "secret" in source
            ]
            sources += [volume["secret"]] if "secret" in volume else []
            for source in sources:
                name = source.get("secretName") or source["name"]
                found.setdefault(name, set()).update(item["key"] for item in source.get("items", ()))
        for container in spec["containers"]:
            for variable in container.get("env", ()):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    found.setdefault(reference["name"], set()).add(reference["key"])
    return found
