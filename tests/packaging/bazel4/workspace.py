"""`python -m tests.packaging.bazel4.workspace WORK CACHE`: everything that Bazel 4.2.3 needs, under WORK.

WORK/tree    the tracked files and a WORKSPACE that maps other people's modules to stand-ins
WORK/repos   stand-ins, wheels, interpreters, base images
WORK/tls     a certificate authority, which the base image trusts, and a server's certificate
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.packaging.bazel4 import base, wheels
from tests.packaging.repository import ROOT, files

STANDINS = Path(__file__).with_name("standins")
WORKSPACE = """workspace(name = "sealift")

load("//build/util:npm_package.bzl", "npm_package")

[local_repository(name = name, path = "../repos/" + name) for name in [{repos}]]

local_repository(name = "rules_java", path = "/usr/share/bazel/rules/java")
local_repository(name = "rules_proto", path = "/usr/share/bazel/rules/proto")
local_repository(name = "bazel_skylib", path = "/usr/share/bazel/tools/skylib")

{programs}

register_toolchains("@tar.bzl//tar/toolchain:host", "@python_amd64//:toolchain", "@python_arm64//:toolchain")
"""
SETTINGS = """build --incompatible_strict_action_env --nolegacy_external_runfiles
build:release --stamp --workspace_status_command=build/util/status.sh
"""
# Read by Bazel 8 only: Debian's launcher would look for the version, and its Bazel knows none of the settings.
NOT_FOR_BAZEL_4 = (".bazelversion", ".bazelrc", ".bazelignore")


def make(work: Path, cache: Path) -> None:
    """Writes WORK again; what is fetched stays in CACHE."""
    repos, tree = work / "repos", work / "tree"
    for old in (repos, tree, work / "tls"):
        shutil.rmtree(old, ignore_errors=True)
    certificates(work / "tls")
    base.unpack(base.download(cache), repos, work / "tls" / "ca.crt")
    count = wheels.unpack(wheels.download(cache), repos)
    standins(repos)
    copy_tree(tree)
    names = ", ".join(f'"{path.name}"' for path in sorted(repos.iterdir()) if (path / "WORKSPACE").exists())
    (tree / "WORKSPACE").write_text(WORKSPACE.format(repos=names, programs=programs()), encoding="utf-8")
    (tree / ".bazelrc").write_text(SETTINGS, encoding="utf-8")
    print(f"{count} wheels for each architecture, {len(list(tree.rglob('*.py')))} Python files")


def programs() -> str:
    """The calls of npm_package in MODULE.bazel, as they are: the rule itself runs."""
    calls = re.findall(r"^npm_package\(\n.*?^\)$", (ROOT / "MODULE.bazel").read_text(), re.DOTALL | re.MULTILINE)
    return "\n\n".join(calls)


def copy_tree(tree: Path) -> None:
    """The tracked files, without what only Bazel 8 reads and without the stand-ins themselves."""
    for path in files():
        relative = path.relative_to(ROOT)
        if str(relative) in NOT_FOR_BAZEL_4 or STANDINS in path.parents:
            continue
        (tree / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / relative)
    # A stamp is of a commit: that of now, whatever is committed while this runs.
    clone = ["git", "-c", f"safe.directory={ROOT}", "clone", "-q", "--bare", "--shared", str(ROOT), str(tree / ".git")]
    subprocess.run(clone, check=True, timeout=60)
    # the files are beside it: apps of the tree are deployed, too
    subprocess.run(["git", "-C", str(tree), "config", "core.bare", "false"], check=True, timeout=60)


def standins(repos: Path) -> None:
    """The stand-ins, each a repository. Their files end in .txt here, lest Bazel 8 take them for its own."""
    for path in sorted(STANDINS.rglob("*")):
        if path.is_file():
            to = repos / path.relative_to(STANDINS)
            to = to.with_name({"BUILD.txt": "BUILD"}.get(path.name, path.name.removesuffix(".txt")))
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    for folder in STANDINS.iterdir():
        (repos / folder.name / "WORKSPACE").write_text(f'workspace(name = "{folder.name}")\n', encoding="utf-8")
    shutil.copy(Path(__file__).with_name("oci.py"), repos / "rules_oci" / "tools" / "oci.py")


def certificates(out: Path) -> None:
    """An authority and a certificate for localhost, both for a day."""
    out.mkdir(parents=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=out, capture_output=True, timeout=60)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-days", "1", "-subj", "/CN=sealift test", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", *new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (out / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "names", "-out", "server.crt")  # fmt: skip
    (out / "server.key").chmod(0o644)  # for the user of the image; it guards nothing


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
