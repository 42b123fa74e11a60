"""Promise: an app that checks who asks, and how, goes live as it is, and sees what its users sent."""

import http.client
from pathlib import Path
from urllib.parse import urlsplit

from pkg.testing.wait import WAIT_S
from tests.harness import apps
from tests.harness.http import get_by_socket
from tests.harness.stack import Stack
from tests.harness.wait import eventually

# What frameworks do: a list of allowed hosts, forms only from the same origin, absolute links with the requested host.
SITE = r"""#!/bin/sh
reply() { printf 'HTTP/1.1 %s\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n%s\n' "$1" "$2"; exit; }
echo "$HTTP_HOST $HTTP_USER_AGENT" >>/tmp/asked
case "${HTTP_HOST%%:*}" in *.sealift.localhost) ;; *) reply '400 Bad Request' "host $HTTP_HOST is not allowed" ;; esac
scheme=${HTTP_X_FORWARDED_PROTO:-http}
if [ "$REQUEST_METHOD" = POST ]; then
    [ "$HTTP_ORIGIN" = "$scheme://$HTTP_HOST" ] || reply '403 Forbidden' "origin $HTTP_ORIGIN is not $scheme://$HTTP_HOST"
    reply '200 OK' saved
fi
case "$QUERY_STRING" in
asked) reply '200 OK' "$(cat /tmp/asked)" ;;
env) reply '200 OK' "$SEALIFT_PUBLIC_URL $SEALIFT_HOSTNAME" ;;
*) reply '200 OK' "$scheme://$HTTP_HOST/next $HTTP_X_FORWARDED_FOR $HTTP_X_FORWARDED_PORT" ;;
esac
"""
TOML = '[run.health_check]\npath = "/cgi-bin/site"\nstart_timeout_s = 20\n'


def ask(url: str, query: str = "", *, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body of one request to the site."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=WAIT_S)
    try:
        connection.request(method, f"/cgi-bin/site?{query}", headers={"Host": parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


def test_an_app_that_checks_its_host_is_live(stack: Stack, project: str, tmp_path: Path) -> None:
    """Probes ask for an allowed host, forms and links have the port, the TLS proxy's word reaches the app."""
    directory = apps.app(tmp_path / "app", toml=TOML, build="RUN mkdir -m 1777 /tmp")
    script = directory / "www" / "cgi-bin" / "site"
    script.parent.mkdir()
    script.write_text(SITE)
    script.chmod(0o755)
    done = stack.deploy(directory, project)
    assert done.code == 0, done.err
    url = stack.url(project)
    port = urlsplit(url).port

    # requests before the first one of a user were probes with the deployment's own address
    (own,) = (one for one in done.last_json["urls"] if "-dep-" in one)
    status, asked = ask(own, "asked")
    assert status == 200
    lines = asked.splitlines()
    assert {line.split()[0] for line in lines} == {urlsplit(own).netloc}
    assert all(line.split()[1].startswith("sealift-probe/") for line in lines[:-1])

    assert ask(url) == (200, f"{url}/next 127.0.0.1 {port}")
    assert ask(url, method="POST", headers={"Origin": url, "Content-Length": "0"}) == (200, "saved")
    secure = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    assert ask(url, headers=secure)[1] == f"https://{urlsplit(url).netloc}/next 203.0.113.7,127.0.0.1 {port}"
    assert ask(url, "env") == (200, f"{url} {urlsplit(url).hostname}")


def test_connections_are_shared_with_an_app_that_keeps_them(stack: Stack, project: str, tmp_path: Path) -> None:
    """krane observes how apps close connections and configures Envoy: one that does it well gets kept connections."""
    done = stack.deploy(apps.app(tmp_path / "app"), project)
    assert done.code == 0, done.err
    for _ in range(30):
        assert stack.get(project).status == 200
    admin = stack.state / "run" / "envoy.sock"
    key = f"sealift.share.{done.last_json['deployment_id']}"
    eventually(lambda: key in get_by_socket(admin, "/runtime").body, what="requests share connections")
    assert stack.get(project).status == 200
