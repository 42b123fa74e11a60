"""`sealift deploy --image`: which images run, and from which registries."""

from collections.abc import Iterator

import pytest

from pkg.images import build_image
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry, Login
from tests.harness import apps, engine
from tests.harness.stack import Stack

REGISTRIES: tuple[Login, ...] = ("basic", "token")


@pytest.fixture(scope="module")
def registries() -> Iterator[dict[Login, DockerRegistry]]:
    """Registries that ask for a login, each in its way."""
    with DockerRegistry(login="basic") as basic, DockerRegistry(login="token") as token:
        yield {"basic": basic, "token": token}


@pytest.fixture(scope="module")
def stack(engine_socket: str, registries: dict[Login, DockerRegistry]) -> Iterator[Stack]:
    """A stack that pulls from them with an account that may only pull, and whose operator allows one local name."""
    toml = '[images]\nallow_local = ["tools/allowed"]\n' + "".join(
        f'[[registries]]\nhost = "{one.host}"\n'
        f'username = "{PULLER.username}"\npassword = "{PULLER.password.reveal()}"\n'
        for one in registries.values()
    )
    with Stack(engine_socket, toml=toml) as one:
        yield one


@pytest.fixture(scope="module")
def built(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """A build of project "first": its name on the engine, its reference, and its id."""
    assert stack.sealift("projects", "create", "first").code == 0
    done = stack.deploy(apps.app(tmp_path_factory.mktemp("app") / "app", "from an image"), "first")
    assert done.code == 0, done.err
    query = "SELECT d.project_id, d.build_id, d.image_ref FROM deployments d WHERE d.id = ?"
    (row,) = stack.rows(query, done.last_json["deployment_id"])
    project_id, build_id, image_ref = map(str, row)
    return str(build_image(project_id, build_id)), image_ref, build_id


@pytest.fixture
def project(stack: Stack, request: pytest.FixtureRequest) -> str:
    """A new project."""
    slug = str(request.node.name).partition("[")[0].replace("test_", "").replace("_", "-")[:20].strip("-")
    slug += str(request.node.name).partition("[")[2].rstrip("]")
    assert stack.sealift("projects", "create", slug).code == 0
    return slug


@pytest.mark.parametrize("login", REGISTRIES)
def test_a_registry_with_a_login(
    stack: Stack, engine_socket: str, registries: dict[Login, DockerRegistry], built: tuple[str, str, str],
    project: str, login: Login,
) -> None:  # fmt: skip
    """An image of a private registry is pulled with the operator's login; without one the error says what to set."""
    image = f"{registries[login].host}/team/app:1"
    account = (PUSHER.username, PUSHER.password.reveal())
    engine.push_image(engine_socket, built[1], image, account)
    done = stack.sealift("deploy", "--image", image, "--project", project, "--json")
    assert done.code == 0, done.err
    assert stack.get(project).body == "from an image"
    with DockerRegistry(login=login) as unknown:
        image = f"{unknown.host}/team/app:1"
        engine.push_image(engine_socket, built[1], image, account)
        done = stack.sealift("deploy", "--image", image, "--project", project, "--json")
        assert done.code == 5, done.err
        assert f'[[registries]] with host = "{unknown.host}"' in done.out.replace('\\"', '"') + done.err
    assert stack.get(project).body == "from an image"


def test_the_own_build_by_its_name(stack: Stack, built: tuple[str, str, str], project: str) -> None:
    """The name of a build deploys it in its own project, and is refused in another one."""
    name, image_ref, build_id = built
    done = stack.sealift("deploy", "--image", name, "--project", "first", "--json")
    assert done.code == 0, done.err
    query = "SELECT source, build_id, image_ref FROM deployments WHERE id = ?"
    assert stack.rows(query, done.last_json["deployment_id"]) == [("build", build_id, image_ref)]
    refused = stack.sealift("deploy", "--image", name, "--project", project, "--json")
    assert refused.code != 0
    assert "may run its own only" in refused.out + refused.err


def test_images_that_are_on_the_engine_alone(
    stack: Stack, engine_socket: str, built: tuple[str, str, str], project: str
) -> None:
    """A local name is refused although the engine has the image, unless the operator allows it."""
    with DockerRegistry() as empty:
        name = f"{empty.host}/tools/secret:1"
        with engine.named_image(engine_socket, built[1], name):
            refused = stack.sealift("deploy", "--image", name, "--project", project, "--json")
        assert refused.code == 5, refused.err
        assert "has no such image" in refused.out + refused.err
        with engine.named_image(engine_socket, built[1], "tools/allowed:1"):
            done = stack.sealift("deploy", "--image", "tools/allowed:1", "--project", project, "--json")
        assert done.code == 0, done.err
    assert stack.get(project).body == "from an image"
