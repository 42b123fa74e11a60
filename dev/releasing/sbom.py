"""What is in an image, as SPDX 2.3: wheels, Debian packages of the base, the interpreter.

Read from the layers themselves, not from the locks: it says what was shipped. Same image, same bytes.
"""

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes

from dev.releasing.errors import ReleaseError
from dev.releasing.image import INTERPRETER, Layout
from dev.releasing.notes import REGISTRY
from dev.releasing.tags import Tag

_STANDARD_LIBRARY = re.compile(r"opt/python/lib/python(?P<version>3\.[0-9]+)/os\.py")
_DEBIAN_FIELD = re.compile(r"^(?P<name>Package|Version|Architecture): (?P<value>.+)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Package:
    """One thing that is in the image; `purl` is its name by the package-url rules."""

    purl: str
    name: str
    version: str


def document(layout: Layout, tag: Tag, created: int) -> dict[str, object]:
    """The SPDX document of the image.

    Args:
        layout: the image, of all architectures.
        tag: what it is released as.
        created: seconds since 1970; the commit's time, so that a rebuild says the same.

    Raises:
        ReleaseError: There is no wheel or no interpreter in it: such a list would be wrong.
    """
    packages = sorted({package for _, manifest in layout.images() for package in _packages(layout, manifest)})
    for kind, start in [("wheel", "pkg:pypi/"), ("interpreter", "pkg:generic/python@")]:
        if not any(package.purl.startswith(start) for package in packages):
            raise ReleaseError(f"no {kind} was found in {layout.root}; is it the image of a service?")
    digest = layout.digest
    image = f"pkg:oci/{tag.name}@{urllib.parse.quote(digest, safe='')}?repository_url={REGISTRY}/{tag.name}"
    root = Package(image, f"{REGISTRY}/{tag.name}", str(tag.version))
    ids = {package: f"SPDXRef-{number}" for number, package in enumerate([root, *packages])}
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{tag.name}-{tag.version}",
        "documentNamespace": f"https://github.com/sealift/sealift/sbom/{tag}/{digest.removeprefix('sha256:')}",
        "creationInfo": {
            "created": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Organization: Sealift", "Tool: sealift-dev-releasing"],
        },
        "packages": [_described(package, ids[package]) for package in [root, *packages]],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", ids[root]),
            *(_relation(ids[root], "CONTAINS", ids[package]) for package in packages),
        ],
    }


def _packages(layout: Layout, manifest: dict[str, object]) -> Iterator[Package]:
    minors, programs = set(), []
    for path, content in layout.files(manifest):
        if match := _STANDARD_LIBRARY.fullmatch(path):
            minors.add(match["version"])
        if content is None:
            continue
        if INTERPRETER.fullmatch(path):
            programs.append(content)
        elif path.startswith("var/lib/dpkg/"):
            yield from _debian(content.decode("utf-8", errors="replace"))
        else:
            head = message_from_bytes(content)
            name, version = re.sub(r"[-_.]+", "-", head["Name"]).lower(), head["Version"]
            yield Package(f"pkg:pypi/{name}@{urllib.parse.quote(version)}", name, version)
    for minor in minors:
        yield from _python(minor, programs)


def _python(minor: str, programs: list[bytes]) -> Iterator[Package]:
    """Which 3.11 it is. Other libraries are linked in, some of them at a version 3 of their own."""
    whole = re.compile(rb"\0(" + re.escape(minor).encode() + rb"\.[0-9]+)\0")
    for found in {each for program in programs for each in whole.findall(program)}:
        version = found.decode()
        yield Package(f"pkg:generic/python@{version}", "python", version)


def _debian(text: str) -> Iterator[Package]:
    for paragraph in text.split("\n\n"):
        fields = {match["name"]: match["value"].strip() for match in _DEBIAN_FIELD.finditer(paragraph)}
        if {"Package", "Version"} <= set(fields):
            name, version = fields["Package"], fields["Version"]
            arch = f"?arch={fields['Architecture']}" if "Architecture" in fields else ""
            quoted = urllib.parse.quote(version, safe="~.-_")
            yield Package(f"pkg:deb/debian/{urllib.parse.quote(name)}@{quoted}{arch}", name, version)


def _described(package: Package, identity: str) -> dict[str, object]:
    return {
        "SPDXID": identity,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}
        ],
    }


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
