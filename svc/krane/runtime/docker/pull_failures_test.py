"""Image references and failed pulls."""

import pytest

from pkg.images import ImageRef
from svc.krane.runtime.docker.pull_failures import name_and_version, pull_failed


@pytest.mark.parametrize(
    ("image_ref", "name", "tag"),
    [
        ("nginx", "nginx", "latest"),
        ("nginx:1.27", "nginx", "1.27"),
        ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
        ("localhost:5000/a/b:v2", "localhost:5000/a/b", "v2"),
        ("ghcr.io/a/b@sha256:abc", "ghcr.io/a/b", "sha256:abc"),
        ("ghcr.io/a/b:v1@sha256:abc", "ghcr.io/a/b:v1", "sha256:abc"),
    ],
)
def test_references_are_split(image_ref: str, name: str, tag: str) -> None:
    # Promise: exactly one image is pulled, never every tag of a repository.
    assert name_and_version(ImageRef.parse(image_ref)) == (name, tag)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("unauthorized: authentication required", "instance.image_refused"),
        ("Head https://ghcr.io/v2/a/manifests/1: denied", "instance.image_refused"),
        ("manifest for x:9 not found: manifest unknown", "instance.image_not_found"),
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            "instance.image_not_found",
        ),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "instance.registry_unreachable"),
        ("dial tcp: lookup nowhere.example: no such host", "instance.registry_unreachable"),
        ("something else", "instance.image_pull_failed"),
    ],
)
def test_the_cause_is_told_apart(said: str, code: str) -> None:
    # Promise: refused, unknown and unreachable are three different things to a user.
    error = pull_failed("ghcr.io/a/b:1", said)
    assert error.code == code
    assert "ghcr.io/a/b:1" in error.message


def test_signatures_in_addresses_are_left_out() -> None:
    # Promise: no credential in an error message.
    said = "Get https://cdn.example/blob?X-Signature=abc: connection refused"
    assert "X-Signature" not in pull_failed("a", said).message
