"""Containers that can never start again."""

from svc.krane.backend.docker.lost_start import is_lost_start


def test_a_lost_start_is_told_from_other_conflicts() -> None:
    """Promise: only a container that can never start again is made anew; the words are the engine's own."""
    task = "b01aae2ae164729384dceec9b44047ece545a3f29d98ab53956af47145bf6b64"
    assert is_lost_start(f"task {task}: already exists")
    assert is_lost_start("id already in use")
    assert not is_lost_start('Conflict. The container name "/dep-1-0" is already in use by container "ab"')
    assert not is_lost_start("network with name sealift already exists")
