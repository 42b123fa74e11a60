"""Image references and failed pulls."""

import pytest

from pkg.errors import FailedPrecondition, Unavailable
from pkg.images import ImageRef
from svc.krane.runtime.pull_failures import name_and_version, pull_failed


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


NOT_HERE = "pull access denied for ghcr.io/a/b, repository does not exist or may require 'docker login'"


MODERN = 'failed to resolve reference "ghcr.io/a/b:1": '
HEAD = f"{MODERN}unexpected status from HEAD request to https://ghcr.io/v2/a/b/manifests/1: "


# Recorded from dockerd 20.10, and with containerd's store ("failed to ...") from 26.1, with docker-registry 2.8.
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("unauthorized: authentication required", "registry_unauthorized"),
        # https://github.com/docker/buildx/issues/1509
        ("manifest unknown: OCI index found, but accept header does not support OCI indexes", "image_pull_failed"),
        ('Head "http://ghcr.io/v2/a/b/manifests/1": no basic auth credentials', "registry_unauthorized"),
        ('Head "https://ghcr.io/v2/a/b/manifests/1": unauthorized: incorrect username or password',
         "registry_unauthorized"),
        (f"{MODERN}pull access denied, repository does not exist or may require authorization: authorization failed: "
         "no basic auth credentials", "registry_unauthorized"),
        (f"{HEAD}401 Unauthorized", "registry_unauthorized"),
        (f"{MODERN}failed to authorize: failed to fetch oauth token: unexpected status from GET request to "
         "https://auth.ghcr.io/token?scope=repository%3Aa%2Fb%3Apull: 401 Unauthorized", "registry_unauthorized"),
        (f"{HEAD}403 Forbidden", "image_refused"),
        (f"{HEAD}429 Too Many Requests", "registry_rate_limited"),
        (f"{HEAD}500 Internal Server Error", "registry_error"),
        (f'{MODERN}failed to do request: Head "https://ghcr.io/v2/a/b/manifests/1": tls: failed to verify certificate: '
         "x509: certificate signed by unknown authority", "registry_certificate"),
        (f'{MODERN}failed to do request: Head "https://ghcr.io/v2/a/b/manifests/1": http: server gave HTTP response to '
         "HTTPS client", "registry_plain_http"),
        (f'{MODERN}failed to do request: Head "https://ghcr.io/v2/a/b/manifests/1": dial tcp 10.0.0.1:443: connect: '
         "connection refused", "registry_unreachable"),
        ("failed to extract layer sha256:1: mount callback failed on /x: unexpected EOF: unknown", "image_pull_failed"),
        ("Head https://ghcr.io/v2/a/b/manifests/1: denied", "image_refused"),
        ("error parsing HTTP 403 response body: invalid character '<' looking for beginning of value", "image_refused"),
        (f"{NOT_HERE}: denied: requested access to the resource is denied", "image_not_found"),
        (NOT_HERE, "image_not_found"),
        ("manifest for ghcr.io/a/b:1 not found: manifest unknown: manifest unknown", "image_not_found"),
        (f"{MODERN}ghcr.io/a/b:1: not found", "image_not_found"),
        ("repository ghcr.io/a/b not found: name unknown: its words", "repository_not_found"),
        ("toomanyrequests: You have reached your pull rate limit", "registry_rate_limited"),
        ("error parsing HTTP 429 response body: invalid character '<'", "registry_rate_limited"),
        ("received unexpected HTTP status: 503 Service Unavailable", "registry_error"),
        (f"{HEAD}503 Service Unavailable", "registry_error"),
        ('Get "https://ghcr.io/v2/": x509: certificate signed by unknown authority', "registry_certificate"),
        ('Get "https://ghcr.io/v2/": http: server gave HTTP response to HTTPS client', "registry_plain_http"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "registry_unreachable"),
        ("dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host", "registry_unreachable"),
        ("write /var/lib/docker/tmp/x: no space left on device", "no_disk"),
        ("failed to register layer: Error processing tar file(exit status 1): unexpected EOF", "image_pull_failed"),
        ("something else", "image_pull_failed"),
    ],
)  # fmt: skip
def test_the_cause_is_told_apart(said: str, code: str) -> None:
    # Promise: each cause has its own code, and only what may pass by itself is tried again.
    error = pull_failed("ghcr.io/a/b:1", said)
    assert error.code == f"instance.{code}"
    assert "ghcr.io/a/b:1" in error.message
    passes = code in ("registry_rate_limited", "registry_error", "registry_unreachable", "no_disk")
    assert isinstance(error, Unavailable if passes else FailedPrecondition)


def test_an_image_that_was_deleted() -> None:
    # Promise: the name of a build's image is not to be checked; the image is to be built again.
    digest = f"sha256:{'0' * 64}"
    error = pull_failed(f"ghcr.io/a/b@{digest}", f"manifest for ghcr.io/a/b@{digest} not found: manifest unknown")
    assert error.code == "instance.image_not_found"
    assert "build it again" in error.message


def test_the_setting_and_its_account_are_named() -> None:
    # Promise: an operator reads which login was used, and where it is set.
    refused = pull_failed("ghcr.io/a/b:1", f"{NOT_HERE}: denied: its words", "puller")
    assert refused.code == "instance.image_refused"
    for error in (refused, pull_failed("ghcr.io/a/b:1", "unauthorized: x", "puller")):
        assert "'puller'" in error.message
        assert '[[registries]] with host = "ghcr.io"' in error.message
    assert '[[registries]] with host = "docker.io"' in pull_failed("nginx", "unauthorized: x").message


@pytest.mark.parametrize(
    "name", ["denied", "unauthorized", "429", "a/x509-tools", "no-such-host", "toomanyrequests/503"]
)
def test_names_of_images_are_no_causes(name: str) -> None:
    # Promise: an image whose name has one of the words looked for fails for its own reason.
    for image_ref in (f"{name}:1", f"ghcr.io/{name}:{name.rpartition('/')[2]}"):
        said = f"manifest for {image_ref} not found: manifest unknown"
        assert pull_failed(image_ref, said).code == "instance.image_not_found"
        said = f"Get https://ghcr.io/v2/{name}: dial tcp 10.0.0.1:443: i/o timeout"
        assert pull_failed(image_ref, said).code == "instance.registry_unreachable"


def test_signatures_in_addresses_are_left_out() -> None:
    # Promise: no credential in an error message.
    said = "Get https://cdn.example/blob?X-Signature=abc: connection refused"
    assert "X-Signature" not in pull_failed("a", said).message
