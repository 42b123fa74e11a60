"""The package managers of Node apps, and the versions of Node and of the managers. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sealift.cli.buildplan import dockerfile, versions
from sealift.cli.buildplan.files import AppFiles, table, text_at

DEFAULT_VERSION = "22"
KNOWN_VERSIONS = ("24", "20", "18", "16", "23", "21", "14")
_NAMED_LTS = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
LOCKS = {
    "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "package-lock.json": "npm", "npm-shrinkwrap.json": "npm",
    "bun.lock": "bun", "bun.lockb": "bun",
}  # fmt: skip
_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@(\d+\.\d+\.\d+)")
_LOCKFILE_VERSION = re.compile(r"^lockfileVersion:\s*['\"]?(\d+)", re.MULTILINE)
_PNPM_OF_LOCK = {"5": "7", "6": "8", "9": "10"}
_CONFIGURATION = (".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs", ".node-version", ".nvmrc")
_FOLDERS = ("patches", ".yarn", "prisma")
# Scripts that an installation runs, and that may need any file.
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")
# Scripts of the table above that need nothing, or only what is copied anyway.
_HARMLESS = re.compile(r"(?:husky(?: install)?|prisma generate|patch-package|is-ci \|\| husky install|husky \|\| true)")


@dataclass(frozen=True)
class PackageManager:
    """How packages are installed and scripts run.

    Attributes:
        name: "npm", "pnpm", "yarn" or "bun".
        setup: installs the manager itself; "" for npm.
        install: the command.
        cache: a directory that is kept between builds; "" if the app needs what is in it.
        source: the file that decides.
        is_pnp: whether packages are found by yarn alone, so that it starts all programs.
    """

    name: str
    setup: str
    install: str
    cache: str
    source: str
    is_pnp: bool = False

    def run(self, script: str) -> str:
        """The command of a script."""
        return f"{self.name} run {script}"

    def start(self) -> str:
        """The command of the start script."""
        return f"{self.name} start" if self.name != "bun" else "bun run start"


def uses_bun(package: Mapping[str, Any]) -> bool:
    """Whether a script runs bun, whatever manages the packages."""
    return any(re.search(r"(?:^|[\s;&|])bunx?\s", str(script)) for script in table(package, "scripts").values())


def manager_of(files: AppFiles, package: Mapping[str, Any]) -> PackageManager:
    """The manager by the field packageManager, else by the lock file, else npm."""
    named = _MANAGER.match(text_at(package, "packageManager"))
    lock = next((path for path in LOCKS if path in files and (not named or LOCKS[path] == named[1])), "")
    name = named[1] if named else LOCKS.get(lock, "npm")
    version = named[2] if named else ""
    source = lock or ("packageManager of package.json" if named else "package.json")
    home = dockerfile.HOME
    if name == "pnpm":
        found = _LOCKFILE_VERSION.search(files.text(lock))
        setup = f"npm install -g --force pnpm@{version or (_PNPM_OF_LOCK.get(found[1], '10') if found else '10')}"
        frozen = " --frozen-lockfile" if lock else ""
        return PackageManager(
            name, setup, f"pnpm install{frozen} --store-dir {home}/.pnpm-store", f"{home}/.pnpm-store", source
        )
    if name == "yarn":
        return _yarn(files, version, lock, source)
    if name == "bun":
        return PackageManager(
            name, f"npm install -g --force bun@{version or 'latest'}", "bun install", f"{home}/.bun", source
        )
    install = "npm ci" if lock else "npm install"
    return PackageManager(name, "", f"{install} --no-audit --no-fund", f"{home}/.npm", source)


def _yarn(files: AppFiles, version: str, lock: str, source: str) -> PackageManager:
    home = dockerfile.HOME
    is_berry = ".yarnrc.yml" in files or (version and not version.startswith("1."))
    if not is_berry:
        frozen = " --frozen-lockfile" if lock else ""
        setup = f"npm install -g --force yarn@{version or '1.22.22'}"
        install = f"yarn install{frozen} --non-interactive --cache-folder {home}/.yarn-cache"
        return PackageManager("yarn", setup, install, f"{home}/.yarn-cache", source)
    # One of the repository (yarnPath) is started by any other.
    wanted = f"@yarnpkg/cli-dist@{version}" if version else "@yarnpkg/cli-dist@4"
    frozen = " --immutable" if lock else ""
    is_pnp = re.search(r"^nodeLinker:\s*[\"']?(?:node-modules|pnpm)", files.text(".yarnrc.yml"), re.MULTILINE) is None
    # The app reads its packages from yarn's cache.
    install = f"YARN_ENABLE_GLOBAL_CACHE=0 yarn install{frozen}"
    return PackageManager("yarn", f"npm install -g --force {wanted}", install, "", source, is_pnp)


def version_of(files: AppFiles, package: Mapping[str, Any]) -> str:
    """The major version of Node, by .nvmrc, .node-version, volta or engines."""
    for path in (".nvmrc", ".node-version"):
        text = files.text(path).strip().lower()
        if text.startswith("lts/"):
            return _NAMED_LTS.get(text.removeprefix("lts/"), DEFAULT_VERSION)
        if found := versions.exact(text, 1):
            return found
    for line in files.text(".tool-versions").splitlines():
        if line.startswith("nodejs ") and (found := versions.exact(line.removeprefix("nodejs "), 1)):
            return found
    if found := versions.exact(text_at(package, "volta", "node"), 1):
        return found
    return versions.chosen(text_at(package, "engines", "node"), DEFAULT_VERSION, KNOWN_VERSIONS)


def has_build(package: Mapping[str, Any]) -> bool:
    """Whether it has a build script."""
    script = table(package, "scripts").get("build")
    return isinstance(script, str) and bool(script.strip())


def files_to_install(files: AppFiles, package: Mapping[str, Any]) -> list[str]:
    """The files that the installation needs; [] if that may be any."""
    scripts = table(package, "scripts")
    may_need_any = any(
        not _HARMLESS.fullmatch(str(scripts[name]).strip()) for name in _INSTALL_SCRIPTS if name in scripts
    )
    local = any(
        isinstance(wanted, str) and wanted.startswith(("file:", "link:", "workspace:", "portal:"))
        for kind in ("dependencies", "devDependencies", "optionalDependencies")
        for wanted in table(package, kind).values()
    )
    if may_need_any or local or "workspaces" in package or "packages:" in files.text("pnpm-workspace.yaml"):
        return []
    return ["package.json", *(path for path in (*LOCKS, *_CONFIGURATION) if path in files)]


def folders_to_install(files: AppFiles) -> list[str]:
    """The folders that the installation needs beside those files."""
    return [folder for folder in _FOLDERS if files.has_folder(folder)]
