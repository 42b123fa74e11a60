"""`python -m dev.k8s.installation_secrets OVERLAY`: makes the keys of an installation, names what is missing.

Keys that nobody needs to know beforehand are made as Secrets of the cluster that kubectl talks to; one that exists is
never changed. Then every other Secret, and every key of one, that the overlay's Pods read and the cluster lacks is
named. No value is printed or put on a command line. May be repeated.

Exit codes: 0 all are there, 1 some are missing or kubectl fails, 2 wrong usage.
"""

import argparse
import base64
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dev.k8s.rendering import NAMESPACE, KubectlError, kubectl, render, secrets_used
from svc.standalone.secrets import ensure_secrets

# Secret to the files of `svc.standalone.secrets` that it holds.
OWN = {
    "sealift-admin-key": ("admin.key",),
    "sealift-krane-key": ("krane.key",),
    "sealift-master-key": ("master.key",),
    "sealift-restate-identity": ("restate.pem", "restate.pub"),
    "sealift-urls-key": ("urls.key",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Makes and checks."""
    parser = argparse.ArgumentParser(prog="installation_secrets", description="The Secrets of an installation.")
    parser.add_argument("overlay", type=Path, help="folder of the overlay, e.g. dev/k8s/overlays/local")
    given = parser.parse_args(argv)
    try:
        needed = secrets_used(render(given.overlay))
        _ensure_namespace()
        made = [name for name in OWN if name in needed and name not in _existing()]
        if made:
            _make(made)
        missing = _missing(needed)
    except KubectlError as error:
        print(error, file=sys.stderr)
        return 1
    for name in made:
        print(f"made Secret {name}")
    for line in missing:
        print(line, file=sys.stderr)
    return int(bool(missing))


def _ensure_namespace() -> None:
    try:
        kubectl(["get", "namespace", NAMESPACE, "-o", "name"])
    except KubectlError:
        kubectl(["apply", "-f", str(Path(__file__).with_name("base") / "namespace.yaml")])


def _existing() -> dict[str, set[str]]:
    items = json.loads(kubectl(["get", "secrets", "-n", NAMESPACE, "-o", "json"]))["items"]
    return {item["metadata"]["name"]: set(item.get("data") or ()) for item in items}


def _make(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ensure_secrets(Path(folder) / "keys")
        secrets = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "sealift"}},
                "data": {
                    file: base64.b64encode((Path(folder) / "keys" / file).read_bytes()).decode() for file in OWN[name]
                },
            }
            for name in names
        ]
        # create, not apply: apply would keep the values in an annotation, and change one that another run has made
        kubectl(["create", "-f", "-"], stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": secrets}))


def _missing(needed: dict[str, set[str]]) -> list[str]:
    existing, found = _existing(), []
    for name, keys in sorted(needed.items()):
        wanted = keys | set(OWN.get(name, ()))
        if name not in existing:
            found.append(f"Secret {name} is missing in namespace {NAMESPACE}; it needs: {', '.join(sorted(wanted))}")
        elif lacking := wanted - existing[name]:
            found.append(f"Secret {name} in namespace {NAMESPACE} lacks: {', '.join(sorted(lacking))}")
    return found


if __name__ == "__main__":
    sys.exit(main())
