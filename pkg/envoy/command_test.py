from pathlib import Path

from pkg.envoy import command


def test_several_envoys_run_side_by_side() -> None:
    """Without a base id there is no shared memory to collide in; with one it is passed on."""
    plain = command(Path("/e"), Path("/c.json"))
    assert plain == [
        "/e",
        "--config-path",
        "/c.json",
        "--concurrency",
        "2",
        "--log-level",
        "warning",
        "--disable-hot-restart",
    ]
    assert command(Path("/e"), Path("/c.json"), base_id=7)[-2:] == ["--base-id", "7"]
