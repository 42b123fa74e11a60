"""Base images and interpreters of both architectures from Debian packages: stand-ins for distroless and for CPython's.

The base has glibc, CA certificates and no shell, as the real one; it also has the libraries that Debian's Python needs.
One more certificate authority is in its bundle, `ca`, so that a check can shake hands with a server of its own.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.packaging.bazel4.wheels import MACHINES

SAME_EVERYWHERE = ["ca-certificates", "netbase", "tzdata"]
PACKAGES = [
    "base-files",
    "libbz2-1.0",
    "libc6",
    "libcom-err2",
    "libcrypt1",
    "libdb5.3",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "liblzma5",
    "libncursesw6",
    "libnsl2",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libtinfo6",
    "libtirpc3",
    "libuuid1",
    "openssl",
    "python3.11-minimal",
    "zlib1g",
]
SUITE = "bookworm"
JUNK = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/sbin", "var/cache"]
MEDIA = "application/vnd.oci.image."
ENV = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
]
TOOLCHAIN = """load("@rules_python//python:runtime.bzl", "runtime")

runtime(
    name = "runtime",
    files = glob(["bin/**", "lib/**"]),
    interpreter = "bin/python3.11",
)

toolchain(
    name = "toolchain",
    target_compatible_with = ["@platforms//os:linux", "@platforms//cpu:{cpu}"],
    toolchain = ":runtime",
    toolchain_type = "@rules_python//python:toolchain_type",
)
"""
APT = """Dir::Etc::sourcelist "{at}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{at}/state";
Dir::State::lists "{at}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{at}/cache";
APT::Architectures {{"amd64"; "arm64";}};
APT::Sandbox::User "root";
"""


def download(cache: Path) -> dict[str, Path]:
    """The folder of Debian packages of each architecture, fetched once through an apt state of its own."""
    folders = {arch: cache / "debs" / arch for arch in MACHINES}
    if all(len(list(folder.glob("*.deb"))) >= len(PACKAGES) for folder in folders.values()):
        return folders
    at = cache / "apt"
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (at / name).mkdir(parents=True, exist_ok=True)
    question = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {SUITE}"]
    mirror = subprocess.run(question, check=True, capture_output=True, text=True, timeout=60).stdout.split()[0]
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (at / "sources.list").write_text(f"deb [arch=amd64,arm64 signed-by={keys}] {mirror} {SUITE} main\n")
    (at / "apt.conf").write_text(APT.format(at=at))
    env = {**os.environ, "APT_CONFIG": str(at / "apt.conf")}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=env, timeout=300)
    for arch, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        names = SAME_EVERYWHERE + [f"{package}:{arch}" for package in PACKAGES]
        subprocess.run(["apt-get", "download", "-qq", *names], check=True, env=env, cwd=folder, timeout=600)
    return folders


def unpack(folders: dict[str, Path], out: Path, ca: Path) -> None:
    """Writes the repositories base_linux_* and python_* under `out`."""
    for arch, folder in folders.items():
        debs = sorted(folder.glob("*.deb"))
        name = f"base_linux_{arch}" + ("_v8" if arch == "arm64" else "")
        rootfs = _rootfs([deb for deb in debs if "python3" not in deb.name], out / "rootfs" / arch, ca)
        _layout(rootfs, arch, out / name / "layout")
        _write(out / name / "WORKSPACE", f'workspace(name = "{name}")\n')
        _write(
            out / name / "BUILD",
            f'filegroup(name = "{name}", srcs = glob(["layout/**"]), visibility = ["//visibility:public"])\n',
        )
        _interpreter(
            [deb for deb in debs if "python3" in deb.name], out / "rootfs-python" / arch, out / f"python_{arch}"
        )
        _write(out / f"python_{arch}" / "WORKSPACE", f'workspace(name = "python_{arch}")\n')
        _write(out / f"python_{arch}" / "BUILD", TOOLCHAIN.format(cpu=MACHINES[arch]))


def _rootfs(debs: list[Path], root: Path, ca: Path) -> Path:
    root.mkdir(parents=True)
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True, timeout=60)
    for junk in JUNK:
        shutil.rmtree(root / junk, ignore_errors=True)
    bundle = [path.read_bytes() for path in sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))]
    _write(root / "etc/ssl/certs/ca-certificates.crt", b"".join([*bundle, ca.read_bytes()]))
    _write(
        root / "etc/passwd",
        "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    )
    _write(root / "etc/group", "root:x:0:\nnonroot:x:65532:\n")
    (root / "home/nonroot").mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    if (root / "bin/sh").exists():
        raise ValueError(f"{root} has a shell; the real base has none")
    return root


def _interpreter(debs: list[Path], root: Path, tree: Path) -> None:
    root.mkdir(parents=True)
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True, timeout=60)
    (tree / "bin").mkdir(parents=True)
    shutil.copy(root / "usr/bin/python3.11", tree / "bin/python3.11")
    shutil.copytree(root / "usr/lib/python3.11", tree / "lib/python3.11", ignore_dangling_symlinks=True)


def _layout(rootfs: Path, arch: str, layout: Path) -> None:
    command = [
        "tar",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "-C",
        str(rootfs),
        "-cf",
        "-",
        ".",
    ]
    tar = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    layer = _blob(layout, gzip.compress(tar, 6, mtime=0), "layer.v1.tar+gzip")
    platform = {"architecture": arch, "os": "linux", **({"variant": "v8"} if arch == "arm64" else {})}
    config = {
        **platform,
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ENV, "User": "65532"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "base"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA + "manifest.v1+json",
        "config": _blob(layout, json.dumps(config).encode(), "config.v1+json"),
        "layers": [layer],
    }
    described = {**_blob(layout, json.dumps(manifest).encode(), "manifest.v1+json"), "platform": platform}
    _write(layout / "index.json", json.dumps({"schemaVersion": 2, "manifests": [described]}))
    _write(layout / "oci-layout", '{"imageLayoutVersion": "1.0.0"}')


def _blob(layout: Path, data: bytes, media: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    _write(layout / "blobs/sha256" / digest, data)
    return {"mediaType": MEDIA + media, "digest": f"sha256:{digest}", "size": len(data)}


def _write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
