"""What an engine is told of a login."""

import base64
import json

from pkg.config import Secret
from pkg.docker.streams import registry_auth
from pkg.images.config import RegistryLogin


def test_the_header_of_a_login() -> None:
    """Promise: the engine gets the login in the form that it reads, that of Docker Hub under the name it has there."""
    login = RegistryLogin(host="Registry.example.com", username="puller", password=Secret("pass/wörd"))
    assert json.loads(base64.urlsafe_b64decode(registry_auth(login))) == {
        "username": "puller", "password": "pass/wörd", "serveraddress": "registry.example.com",
    }  # fmt: skip
    hub = RegistryLogin(host="docker.io", password=Secret("word"))
    assert json.loads(base64.urlsafe_b64decode(registry_auth(hub)))["serveraddress"] == "https://index.docker.io/v1/"
