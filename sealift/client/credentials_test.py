"""Where the key comes from, and which files are refused."""

from pathlib import Path

import pytest

from sealift.client.credentials import DEFAULT_URL, Endpoint, checked_url, find_endpoint, login_file
from sealift.client.errors import AuthError, InputError
from sealift.client.logins import Login


def key_file(path: Path, mode: int = 0o600, text: str = "slk_file\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_variable_beats_files(tmp_path: Path) -> None:
    """Promise: SEALIFT_API_KEY takes precedence over files."""
    key_file(tmp_path / ".config/sealift/key")
    assert find_endpoint(env={"SEALIFT_API_KEY": " slk_env\n"}, home=tmp_path).key == "slk_env"


def test_order_of_files(tmp_path: Path) -> None:
    """Promise: the named file, then the user's, then the local stack's."""
    state = tmp_path / "state"
    key_file(state / "secrets/admin.key", text="slk_admin")
    env = {"SEALIFT_STATE_DIR": str(state)}
    assert find_endpoint(env=env, home=tmp_path).key == "slk_admin"
    key_file(tmp_path / ".config/sealift/key", text="slk_user")
    assert find_endpoint(env=env, home=tmp_path).key == "slk_user"
    named = key_file(tmp_path / "named", text="slk_named")
    assert find_endpoint(env={**env, "SEALIFT_API_KEY_FILE": str(named)}, home=tmp_path).key == "slk_named"


def test_a_stack_at_other_ports(tmp_path: Path) -> None:
    """Promise: the state directory says where its stack listens; only an address of this machine is believed."""
    key_file(tmp_path / "secrets/admin.key", text="slk_admin")
    endpoints, env = tmp_path / "run/stack.json", {"SEALIFT_STATE_DIR": str(tmp_path)}
    key_file(endpoints, text='{"api": "127.0.0.1:17400", "http": "127.0.0.1:17401"}')
    found = find_endpoint(env=env, home=tmp_path)
    assert (found.url, found.key) == ("http://127.0.0.1:17400", "slk_admin")
    assert find_endpoint("http://127.0.0.1:17400", env=env, home=tmp_path).key == "slk_admin"
    for text in ('{"api": "192.0.2.1:7400"}', '{"api": 5}', '{"api": "::"}', "[]", "{", ""):
        endpoints.write_text(text)
        assert find_endpoint(env=env, home=tmp_path).url == DEFAULT_URL


def test_admin_key_only_for_the_local_default(tmp_path: Path) -> None:
    """Promise: the local stack's key is never sent to another server."""
    key_file(tmp_path / "secrets/admin.key")
    with pytest.raises(AuthError, match="SEALIFT_API_KEY"):
        find_endpoint("https://elsewhere.example", env={"SEALIFT_STATE_DIR": str(tmp_path)}, home=tmp_path)


def test_where_a_key_was_looked_for(tmp_path: Path) -> None:
    """Promise: without a key the error names each place; the local stack's own only where that stack is asked."""
    state = tmp_path / "state"
    with pytest.raises(AuthError) as local:
        find_endpoint(env={"SEALIFT_STATE_DIR": str(state)}, home=tmp_path)
    places = (str(tmp_path / ".config/sealift/key"), str(state / "secrets/admin.key"))
    for text in (*places, "SEALIFT_STATE_DIR", "sealift login http://127.0.0.1:7400"):
        assert text in local.value.message
    with pytest.raises(AuthError) as other:
        find_endpoint("https://elsewhere.example", env={"SEALIFT_STATE_DIR": str(state)}, home=tmp_path)
    assert "state" not in other.value.message.lower()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_open_key_file_is_refused(tmp_path: Path, mode: int) -> None:
    """Promise: a key file that others can read is refused with the chmod command, without showing the key."""
    path = key_file(tmp_path / ".config/sealift/key", mode)
    with pytest.raises(AuthError) as caught:
        find_endpoint(env={}, home=tmp_path)
    assert f"chmod 600 {path}" in caught.value.message
    assert "slk_" not in caught.value.message


def test_named_file_must_exist(tmp_path: Path) -> None:
    """Promise: a missing SEALIFT_API_KEY_FILE is reported; no other place is tried."""
    key_file(tmp_path / ".config/sealift/key")
    with pytest.raises(AuthError, match=r"SEALIFT_API_KEY_FILE names .*missing"):
        find_endpoint(env={"SEALIFT_API_KEY_FILE": str(tmp_path / "missing")}, home=tmp_path)


@pytest.mark.parametrize("text", ["", "two words", "sch\u00fcssel", "a" * 5000])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    """Promise: a file without a key is reported."""
    key_file(tmp_path / ".config/sealift/key", text=text)
    with pytest.raises(AuthError, match="does not contain a key"):
        find_endpoint(env={}, home=tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost:7400", "ftp://x", "http://", "http://x/path", "http://u:p@x", "http://x:0", "http://x:99999",
        "http://x?y",
    ],
)  # fmt: skip
def test_bad_urls(url: str) -> None:
    """Promise: an invalid server URL is refused with the expected form."""
    with pytest.raises(InputError, match="--url"):
        checked_url(url)


def test_a_url_that_means_the_local_stack(tmp_path: Path) -> None:
    """Promise: all forms of the local stack's address are equal; shown URLs are canonical."""
    key_file(tmp_path / "secrets/admin.key", text="slk_admin")
    env = {"SEALIFT_STATE_DIR": str(tmp_path)}
    for url in ("HTTP://127.0.0.1:7400/", " http://127.0.0.1:07400\n"):
        found = find_endpoint(url, env=env, home=tmp_path)
        assert (found.url, found.key) == (DEFAULT_URL, "slk_admin")


def test_a_password_in_a_url_is_not_shown() -> None:
    """Promise: the message about a URL with a password does not show the password."""
    with pytest.raises(InputError, match="user or a password") as caught:
        checked_url("https://me:hunter2@x.example")
    assert "hunter2" not in caught.value.message


def test_endpoint_parts() -> None:
    """Promise: targets are right for IPv6, default ports and *.localhost; the key is not in repr."""
    assert Endpoint(DEFAULT_URL).target == "127.0.0.1:7400"
    assert Endpoint("http://[::1]:7400").target == "[::1]:7400"
    assert Endpoint("https://deploy.example").target == "deploy.example:443"
    assert Endpoint("http://api.sealift.localhost:1").target == "127.0.0.1:1"
    assert Endpoint("HTTPS://deploy.example").address.is_tls
    assert not Endpoint("http://deploy.example").address.is_local
    assert "slk_" not in repr(Endpoint("http://x", "slk_secret"))


A, B = "https://a.example", "https://b.example:7443"


def logged_in(home: Path) -> None:
    logins = login_file({}, home)
    logins.put(Login(A, "slk_a", "certificates of a"))
    logins.put(Login(B, "slk_b"))


def test_the_last_login_is_the_default(tmp_path: Path) -> None:
    """Promise: without a URL, commands use the last login; each server has its own key and authorities."""
    logged_in(tmp_path)
    found = find_endpoint(env={}, home=tmp_path)
    assert (found.url, found.key, found.ca_certificates) == (B, "slk_b", "")
    by_option = find_endpoint("HTTPS://A.example:443/", env={}, home=tmp_path)
    by_variable = find_endpoint(env={"SEALIFT_URL": A}, home=tmp_path)
    for named in (by_option, by_variable):
        assert (named.url, named.key, named.ca_certificates) == (A, "slk_a", "certificates of a")
    login_file({}, tmp_path).put(Login(A, "slk_c"))
    assert find_endpoint(env={}, home=tmp_path).key == "slk_c"
    assert login_file({}, tmp_path).remove(checked_url(A))
    assert find_endpoint(env={}, home=tmp_path).url == B


def test_a_key_of_the_environment_stays_with_its_server(tmp_path: Path) -> None:
    """Promise: a key in the environment is sent to the server in the environment, else to the local stack, and never
    to one that only a login names; it takes precedence over the login of a server that is named."""
    logged_in(tmp_path)
    env = {"SEALIFT_API_KEY": "slk_env"}
    found = find_endpoint(env=env, home=tmp_path)
    assert (found.url, found.key) == (DEFAULT_URL, "slk_env")
    named = find_endpoint(A, env=env, home=tmp_path)
    assert (named.key, named.ca_certificates) == ("slk_env", "certificates of a")
    key_file(tmp_path / "named", text="slk_named")
    assert find_endpoint(env={"SEALIFT_API_KEY_FILE": str(tmp_path / "named")}, home=tmp_path).url == DEFAULT_URL


def test_the_local_stack_beside_logins(tmp_path: Path) -> None:
    """Promise: after a login elsewhere, the local stack is reached by its URL with its own key, as before."""
    logged_in(tmp_path)
    key_file(tmp_path / "state/secrets/admin.key", text="slk_admin")
    found = find_endpoint(DEFAULT_URL, env={"SEALIFT_STATE_DIR": str(tmp_path / "state")}, home=tmp_path)
    assert (found.url, found.key) == (DEFAULT_URL, "slk_admin")


def test_authorities_of_the_environment(tmp_path: Path) -> None:
    """Promise: SEALIFT_CA_FILE takes precedence over the login's authorities, and must contain some."""
    logged_in(tmp_path)
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(InputError, match=r"SEALIFT_CA_FILE: .*ca\.pem contains no certificate"):
        find_endpoint(A, env={"SEALIFT_CA_FILE": str(tmp_path / "ca.pem")}, home=tmp_path)
