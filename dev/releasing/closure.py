"""Which files a release depends on: only changes to these are in its notes."""

from pathlib import Path

from dev.bazel.settings import DATA, EXTRA_IMPORTS
from dev.bazel.sources import Source, listed, read
from dev.releasing.tags import CLI

# What makes every image, besides code: wheels, interpreter, base image, rules.
_OF_ALL_IMAGES = ("MODULE.bazel", ".bazelversion", ".python-version", "requirements_lock.txt", "build/platforms")
_OF_PROGRAMS = ("MODULE.bazel", ".bazelversion", "package-lock.json", "build/platforms")
_OF_THE_CLI = ("pyproject.toml", "README.md")
_RULES = (
    "bytecode.py",
    "images.bzl",
    "oci_index.*",
    "py_layers.bzl",
    "service_image.bzl",
    "status.sh",
    "tar_layer.bzl",
    "*.tpl",
)
_RULES_OF_PROGRAMS = (
    "images.bzl",
    "npm_package.bzl",
    "oci_index.*",
    "program_image.bzl",
    "status.sh",
    "tar_layer.bzl",
    "*.tpl",
)


def paths(root: Path, name: str) -> list[str]:
    """Files and folders, from the root, that the image `name`, or the package "cli", is made of.

    Read from the imports in the working tree; a file that is no longer there is not among them.
    """
    sources = {source.module: source for source in read(root, listed(root))}
    if name == CLI:
        own = [
            source.path for source in sources.values() if source.path.parts[0] == "sealift" and not _of_tests(source)
        ]
        return sorted({*map(str, own), *(each for each in _OF_THE_CLI if (root / each).exists())})
    folder = name.replace("-", "_")
    is_program = not (root / "build" / folder / "main.py").exists()
    found = {str(sources[module].path) for module in _reached(sources, f"build.{folder}")}
    found |= {str(Path(path).parent / data) for path in found for data in DATA.get(path, ())}
    util = root / "build" / "util"
    rules, shared = (_RULES_OF_PROGRAMS, _OF_PROGRAMS) if is_program else (_RULES, _OF_ALL_IMAGES)
    found |= {str(path.relative_to(root)) for pattern in rules for path in util.glob(pattern)}
    found |= {each for each in (*shared, f"build/{folder}/BUILD.bazel") if (root / each).exists()}
    return sorted(found)


def _of_tests(source: Source) -> bool:
    return source.is_test or source.is_conftest or source.path.name.startswith("testing")


def _reached(sources: dict[str, Source], package: str) -> set[str]:
    start = [module for module in sources if module == package or module.startswith(f"{package}.")]
    todo = [module for module in start if not _of_tests(sources[module])]
    seen = set(todo)
    while todo:
        source = sources[todo.pop()]
        names = set(source.imports) | {source.module}
        for pattern in EXTRA_IMPORTS.get(str(source.path), ()):
            prefix = pattern.removesuffix("*")
            names |= {each for each in sources if each == pattern or (prefix != pattern and each.startswith(prefix))}
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                module = ".".join(parts[:end])
                if module in sources and module not in seen:
                    seen.add(module)
                    todo.append(module)
    return seen
