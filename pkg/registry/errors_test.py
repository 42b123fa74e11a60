from datetime import UTC, datetime

import pytest

from pkg.registry.errors import Purpose, RegistryProblem, failure, of_answer, of_text, retry_after_s


@pytest.mark.parametrize("problem", RegistryProblem)
def test_each_problem_has_words(problem: RegistryProblem) -> None:
    """Promise: the words name the registry and end in a sentence; nothing is left to fill in."""
    error = failure(problem, "registry.example.com/apps/a", Purpose("[[registries]]", "pull"), said="its words")
    assert error.code == f"registry.{problem}"
    assert error.message.startswith("The registry registry.example.com/apps/a ")
    assert error.message.endswith((". It said: its words", "? It said: its words"))
    assert not {"{", "}"} & set(error.message)


def test_no_signature_is_quoted() -> None:
    """Promise: a registry's words about a signed address do not carry the signature into an error."""
    said = "GET https://storage.example.com/blob?X-Amz-Signature=abcdef failed"
    assert "abcdef" not in failure(RegistryProblem.UNAVAILABLE, "r.example.com/a", Purpose(), said=said).message


@pytest.mark.parametrize(
    ("status", "body", "challenge", "expected"),
    [
        (401, b"", 'Bearer error="insufficient_scope"', RegistryProblem.DENIED),
        (401, b'{"errors":[{"code":"UNAUTHORIZED","message":"m"}]}', "", RegistryProblem.UNAUTHORIZED),
        (404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "", RegistryProblem.NO_REPOSITORY),
        (400, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "", RegistryProblem.NO_REPOSITORY),
        (500, b'{"errors":[{"code":"UNKNOWN","detail":{"Op":"write","Err":28}}]}', "", RegistryProblem.FULL),
        (500, b'{"errors":[{"code":"UNKNOWN","detail":{"Op":"write","Err":5}}]}', "", RegistryProblem.UNAVAILABLE),
        (502, b"\xff<html>", "", RegistryProblem.UNAVAILABLE),
        (405, b"[]", "", RegistryProblem.DELETE_OFF),
        (401, b'{"errors":[{"message":"unauthorized to access repository: a/b"}]}', "", RegistryProblem.DENIED),
        (403, b"Your Authorization Token has expired. Please run 'aws ecr", "", RegistryProblem.UNAUTHORIZED),
        (
            403,
            b'{"errors":[{"message":"will exceed the configured upper limit of 5.0 GiB"}]}',
            "",
            RegistryProblem.FULL,
        ),
        (412, b'{"errors":[{"message":"tag configured as immutable"}]}', "", RegistryProblem.IMMUTABLE),
        (400, b'{"errors":[{"message":"the tag is immutable"}]}', "", RegistryProblem.IMMUTABLE),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, challenge: str, expected: RegistryProblem) -> None:
    """Promise: whatever a registry, or a proxy before it, sends with an error status is understood or survived."""
    assert of_answer(status, body, challenge)[0] is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("5", 5),
        ("999999", 3600),
        ("Sat, 28 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0),
    ],
)
def test_the_time_to_wait(header: str | None, expected: int | None) -> None:
    """Promise: seconds and dates are read, within an hour; nonsense names no time."""
    assert retry_after_s(header, datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unauthorized: authentication required", RegistryProblem.UNAUTHORIZED),
        ("no basic auth credentials", RegistryProblem.UNAUTHORIZED),
        ("denied: requested access to the resource is denied", RegistryProblem.DENIED),
        ("toomanyrequests: You have reached your pull rate limit", RegistryProblem.RATE_LIMITED),
        ("x509: certificate signed by unknown authority", RegistryProblem.UNTRUSTED),
        ("http: server gave HTTP response to HTTPS client", RegistryProblem.PLAIN_HTTP),
        ("dial tcp: lookup registry.invalid: no such host", RegistryProblem.UNRESOLVED),
        ("dial tcp 127.0.0.1:413: connect: connection refused", RegistryProblem.UNREACHABLE),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryProblem.UNAVAILABLE),
        ("unauthorized: unauthorized to access repository: a/b, action: push", RegistryProblem.DENIED),
        ("denied: Your authorization token has expired. Reauthenticate", RegistryProblem.UNAUTHORIZED),
        ("denied: adding 1 GiB, which will exceed the configured upper limit of 5.0 GiB", RegistryProblem.FULL),
        ("unknown: Failed to process request due to 'a/b:t' configured as immutable.", RegistryProblem.IMMUTABLE),
        ("response body: Client sent an HTTP request to an HTTPS server.", RegistryProblem.OTHER_SCHEME),
        ("something else", RegistryProblem.UNEXPECTED),
    ],
)
def test_what_an_engine_reports(text: str, expected: RegistryProblem) -> None:
    """Promise: an engine's words for a registry's answer lead to the same problem as the answer itself."""
    assert of_text(text) is expected
