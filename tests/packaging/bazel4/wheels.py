"""The wheels of the runtime lock for both architectures, unpacked as the repositories that `pip.parse` makes."""

import email.parser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

from dev.bazel.third_party import normalized
from tests.packaging.repository import ROOT

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
TAGS = ("manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24",
        "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")  # fmt: skip
PACKAGE = """py_library(
    name = "pkg",
    srcs = glob(["site-packages/**/*.py"], allow_empty = True),
    data = glob(["site-packages/**/*"], exclude = ["**/*.py", "**/*.pyc"], allow_empty = True),
    imports = ["site-packages"],
    visibility = ["//visibility:public"],
    deps = {deps},
)
"""
ALIAS = """alias(
    name = "{name}",
    actual = select({{
        "@sealift//build/platforms:is_amd64": "@pip_amd64//{name}:pkg",
        "@sealift//build/platforms:is_arm64": "@pip_arm64//{name}:pkg",
    }}),
    visibility = ["//visibility:public"],
)
"""


def download(cache: Path) -> dict[str, Path]:
    """The folder of wheels of each architecture; fetched once per lock. A package without a wheel fails."""
    lock = ROOT / "requirements_lock.txt"
    folders = {arch: cache / "wheels" / arch for arch in MACHINES}
    for arch, folder in folders.items():
        stamp = folder / ".lock"
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        command = [*pip("download", arch), "--require-hashes", "-r", str(lock), "-d", str(folder)]
        subprocess.run(command, check=True, timeout=900)
        shutil.copyfile(lock, stamp)
    return folders


def pip(command: str, arch: str) -> list[str]:
    """The beginning of a pip command that sees, of each package, only the wheels that the image of `arch` can hold."""
    platforms = [word for tag in TAGS for word in ("--platform", f"{tag}_{MACHINES[arch]}")]
    return [sys.executable, "-m", "pip", command, "-q", "--disable-pip-version-check", "--no-deps",
            "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11", *platforms]  # fmt: skip


def unpack(folders: dict[str, Path], out: Path) -> int:
    """Writes the repositories pip_amd64, pip_arm64 and pip under `out`; returns the number of packages."""
    names: set[str] = set()
    for arch, folder in folders.items():
        _write(out / f"pip_{arch}" / "WORKSPACE", f'workspace(name = "pip_{arch}")\n')
        found = {normalized(wheel.name.split("-")[0]): wheel for wheel in sorted(folder.glob("*.whl"))}
        names |= set(found)
        for name, wheel in found.items():
            site = out / f"pip_{arch}" / name / "site-packages"
            _extract(wheel, site)
            needed = _requirements(site, MACHINES[arch])
            deps = [f"//{dep}:pkg" for dep in sorted(needed & set(found) - {name})]
            _write(site.parent / "BUILD.bazel", PACKAGE.format(deps=deps))
    for name in names:
        _write(out / "pip" / name / "BUILD.bazel", ALIAS.format(name=name))
    _write(out / "pip" / "WORKSPACE", 'workspace(name = "pip")\n')
    return len(names)


def _extract(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # pip has checked its hash
    for data in list(site.glob("*.data/purelib")) + list(site.glob("*.data/platlib")):
        shutil.copytree(data, site, dirs_exist_ok=True)
    for folder in site.glob("*.data"):
        shutil.rmtree(folder)
    for path in site.rglob("*"):
        if path.name in ("BUILD", "BUILD.bazel"):  # would be a package of Bazel's
            path.unlink()


def _requirements(site: Path, machine: str) -> set[str]:
    environment = {
        "platform_machine": machine, "python_version": "3.11", "python_full_version": "3.11.2", "extra": "",
        "sys_platform": "linux", "os_name": "posix", "platform_system": "Linux",
        "platform_python_implementation": "CPython", "implementation_name": "cpython",
    }  # fmt: skip
    text = next(site.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    lines = email.parser.Parser().parsestr(text, headersonly=True).get_all("Requires-Dist") or []
    wanted = [requirement for requirement in map(Requirement, lines)
              if not requirement.marker or requirement.marker.evaluate(environment)]  # fmt: skip
    return {normalized(requirement.name) for requirement in wanted}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
