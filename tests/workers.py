"""The processes that share the tests among them, and the Docker engine of each: tests count what an engine has."""

import os

ENGINE, ENGINES = "SEALIFT_ENGINE_SOCKET", "SEALIFT_TEST_ENGINE_SOCKETS"


def engine_sockets() -> list[str]:
    """One Docker engine for each worker, as `dev/test.sh` has started them; [] when all tests run in one process."""
    found = os.environ.get(ENGINES, "").split()
    assert len(set(found)) == len(found), f"{ENGINES}: two workers would share an engine: {found}"
    return found


def take_engine() -> None:
    """Gives this process, if it is a worker ("gw0", "gw1", ...), the engine that no other worker uses."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ[ENGINE] = engine_sockets()[int(worker.removeprefix("gw"))]
