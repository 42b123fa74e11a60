"""The log lines of a failed start are the app's own."""

import pytest

from svc.krane.controller.probe_lines import without_probes


@pytest.mark.parametrize(
    "line",
    [
        '172.18.0.1 - - [28/Nov/2026:08:00:00 +0000] "GET /up HTTP/1.1" 500 12 "-" "sealift-probe/0.1.0"',
        '172.18.0.1 - - [28/Nov/2026 08:00:00] "GET /up HTTP/1.1" 500 -',
        'INFO:     172.18.0.1:41234 - "GET /up HTTP/1.1" 503 Service Unavailable',
        '[28/Nov/2026 08:00:00] "GET /up HTTP/1.1" 400 143',
        "GET /up 500 1.234 ms - 12",
        r"\x1b[0mGET /up \x1b[31m500\x1b[0m 1.234 ms - 12\x1b[0m",
        '{"method": "GET", "url": "/up", "agent": "sealift-probe/0.1.0", "status": 500}',
        'Started GET "/up" for 172.18.0.1 at 2026-11-28 08:00:00 +0000',
        '[GIN] 2026/11/28 - 08:00:00 | 500 | 1ms | 172.18.0.1 | GET "/up" 500',
    ],
)
def test_lines_of_probes_are_left_out(line: str) -> None:
    """Access logs of common servers and frameworks: forty of them would hide the cause."""
    assert without_probes(["no database", line, "bye"], "/up") == ["no database", "bye"]


@pytest.mark.parametrize(
    "line",
    [
        "Error: GET /up failed: connection to 10.0.0.5:5432 refused",
        "handling GET /up",
        '10.0.0.9 - - "GET /upload HTTP/1.1" 500 -',
        "Invalid HTTP_HOST header: 'x'. You may need to add 'x' to ALLOWED_HOSTS.",
        "listening on 0.0.0.0:8080",
    ],
)
def test_lines_of_the_app_stay(line: str) -> None:
    """What explains the failure is never taken for noise."""
    assert without_probes([line], "/up") == [line]


def test_without_a_path_nothing_is_left_out() -> None:
    """A probe that only connects leaves no line that we could know."""
    assert without_probes(['"GET / HTTP/1.1" 200'], "") == ['"GET / HTTP/1.1" 200']
