"""What the stand-in of oci_image does: base and layers joined into an OCI layout. `oci.py SPEC` (JSON)."""

import gzip
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image."


def assemble(spec: dict[str, Any]) -> None:
    """Writes the layout to spec["out"]."""
    out, base = Path(spec["out"]), Path(spec["base"])
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def read(digest: str) -> Any:
        return json.loads((base / "blobs" / digest.replace(":", "/")).read_bytes())

    def add(data: bytes, media: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": MEDIA + media, "digest": f"sha256:{digest}", "size": len(data)}

    manifest = read(json.loads((base / "index.json").read_bytes())["manifests"][0]["digest"])
    config = read(manifest["config"]["digest"])
    for layer in manifest["layers"]:
        name = layer["digest"].removeprefix("sha256:")
        shutil.copyfile(base / "blobs" / "sha256" / name, blobs / name)
    for tar in spec["tars"]:
        data = Path(tar).read_bytes()
        config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest())
        config["history"].append({"created": "1970-01-01T00:00:00Z", "created_by": "bazel"})
        manifest["layers"].append(add(data, "layer.v1.tar+gzip"))
    _configure(config["config"], spec)
    manifest["annotations"] = _pairs(spec["annotations"])
    manifest["config"] = add(_bytes(config), "config.v1+json")
    described = add(_bytes(manifest), "manifest.v1+json")
    (out / "index.json").write_bytes(_bytes({"schemaVersion": 2, "manifests": [described]}))
    (out / "oci-layout").write_bytes(_bytes({"imageLayoutVersion": "1.0.0"}))


def _configure(config: dict[str, Any], spec: dict[str, Any]) -> None:
    kept = [entry for entry in config.get("Env", []) if entry.partition("=")[0] not in spec["env"]]
    config["Env"] = kept + [f"{name}={value}" for name, value in spec["env"].items()]
    config["Entrypoint"] = spec["entrypoint"]
    config["User"], config["WorkingDir"] = spec["user"], spec["workdir"]
    config["ExposedPorts"] = {port: {} for port in spec["ports"]}
    config["Labels"] = _pairs(spec["labels"])


def _pairs(path: str) -> dict[str, str]:
    lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    assemble(json.loads(Path(sys.argv[1]).read_bytes()))
