"""Promise: the schema is brought to the newest revision, and a start without news costs one question."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from pkg.db import create_engine, migrate
from pkg.regions import krane_replicas
from pkg.regions import queries as regions


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def test_there_is_one_head() -> None:
    """Two branches that each added a revision are put in order before they are merged."""
    assert scripts().get_heads() == [migrate.newest()]


def test_revisions_are_named_so_that_two_branches_never_take_the_same_one() -> None:
    """A date and a slug, in at most the 32 characters of Alembic's table; the first ones were numbered."""
    for step in scripts().walk_revisions():
        assert re.fullmatch(r"00(0\d|1[0-2])|\d{8}_[a-z0-9_]{1,23}", step.revision), step.revision
        name = Path(step.path).stem
        assert name == f"m{step.revision}" or (len(step.revision) == 4 and name.startswith(f"m{step.revision}_"))


def test_two_heads_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with an undecided order fails before anything is migrated."""
    (tmp_path / "versions").mkdir()
    for name in ("20261128_left", "20261128_right"):
        text = f'revision = "{name}"\ndown_revision = "0008"\n'
        (tmp_path / "versions" / f"m{name}.py").write_text(text)
    monkeypatch.setattr(migrate, "_MIGRATIONS", tmp_path)
    with pytest.raises(ValueError, match=r"20261128_left.*20261128_right"):
        migrate.newest()


def test_a_database_of_a_newer_version_is_left_alone(empty_database_url: str) -> None:
    """A program that is older than the database says so, with the way back, and changes nothing."""
    engine = create_engine(empty_database_url)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '20991231_later'")
    with pytest.raises(migrate.NewerError, match=r"'20991231_later'.*newer version.*restore a backup") as raised:
        migrate.upgrade(engine)
    assert (raised.value.code, migrate.revision(engine)) == ("database.newer", "20991231_later")
    engine.dispose()


def test_alembic_is_loaded_only_to_migrate(empty_database_url: str) -> None:
    """A database at the newest revision is left alone, by a process that never loads Alembic."""
    engine = create_engine(empty_database_url)
    assert migrate.revision(engine) is None
    migrate.upgrade(engine)
    assert migrate.revision(engine) == migrate.newest()
    engine.dispose()
    again = (
        "import sys; from pkg.db import create_engine, migrate; "
        f"migrate.upgrade(create_engine({empty_database_url!r})); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_output_that_was_kept_before_it_was_redacted_goes(empty_database_url: str) -> None:
    """What apps printed may hold sealed values: an upgrade removes it, reasons stay, and the file forgets the bytes."""
    engine = create_engine(empty_database_url)
    is_sqlite = engine.dialect.name == "sqlite"
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    engine.dispose()
    without_keys = sqlalchemy.create_engine(empty_database_url)  # one row of each table is enough
    with without_keys.begin() as connection:
        if not is_sqlite:
            connection.exec_driver_sql("SET session_replication_role = replica")
        connection.exec_driver_sql(
            "INSERT INTO deployment_steps VALUES ('d', 'deploying', 1, NULL,"
            " 'the app exited with code 9. Last log lines:\nlogin with hunter2-hunter2')"
        )
        connection.exec_driver_sql(
            "INSERT INTO regions (name, krane_instance_id, krane_version, runtime, engine, last_seen_at,"
            " applied_version, created_at) VALUES ('r', 'k', '1', 'docker', 'e', 1, 0, 1)"
        )
        connection.exec_driver_sql(
            "INSERT INTO instances (region, deployment_id, replica, instance_id, state, reason, exit_code,"
            " log_tail_json, last_probe, image_id, restarts, observed_at)"
            """ VALUES ('r', 'd', 0, 'i', 'failed', 'why', 9, '["hunter2-hunter2"]', '', '', 0, 1)"""
        )
    without_keys.dispose()
    migrate.upgrade(engine)
    with engine.connect() as connection:
        error = connection.exec_driver_sql("SELECT error FROM deployment_steps").scalar_one()
        rows = connection.exec_driver_sql("SELECT reason, CAST(log_tail_json AS TEXT) FROM instances").all()
    engine.dispose()
    assert error == "the app exited with code 9."
    assert rows == [("why", "[]")]
    if is_sqlite:
        assert b"hunter2" not in Path(str(engine.url.database)).read_bytes()


def test_instances_of_before_there_were_processes_are_of_web(empty_database_url: str) -> None:
    """What regions reported before an upgrade stays: a live app is not taken for one without instances."""
    engine = create_engine(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "20261129_certificate_directory")
        connection.exec_driver_sql(
            "INSERT INTO regions (name, krane_instance_id, krane_version, runtime, engine, last_seen_at,"
            " applied_version, created_at) VALUES ('eu', 'k', '1', 'docker', 'e', 1, 0, 1)"
        )
        connection.exec_driver_sql(
            "INSERT INTO instances (region, deployment_id, replica, instance_id, state, reason, log_tail_json,"
            " last_probe, image_id, restarts, observed_at, last_exit_json)"
            """ VALUES ('eu', 'dep_1', 0, 'dep-1-0', 'healthy', '', '["a"]', 'ok', 'sha256:1', 2, 5, '{"at": 3}')"""
        )
    migrate.upgrade(engine)
    with engine.begin() as connection:
        (web,) = regions.instances_of(connection, "dep_1")
        worker = replace(web, process="worker", instance_id="dep-1-worker-0", observed_at=6)
        assert regions.report(connection, worker, 7)
        found = regions.instances_of(connection, "dep_1")
    engine.dispose()
    assert (web.process, web.state, web.restarts, web.log_tail_json, web.last_exit_json) == (
        "",
        "healthy",
        2,
        ["a"],
        {"at": 3},
    )
    assert found == [web, worker]


def test_the_krane_of_a_region_becomes_its_only_replica(empty_database_url: str) -> None:
    """What it has applied and refused stays, so that nothing that waits for the region ends or hangs by an upgrade."""
    engine = create_engine(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "20261128_autoscaling")
        connection.exec_driver_sql(
            "INSERT INTO regions (name, krane_instance_id, krane_version, runtime, engine, last_seen_at,"
            " applied_version, created_at, capabilities_json, unsupported_json)"
            """ VALUES ('eu', 'k', '1', 'docker', 'e', 5, 7, 1, '["feed.route/1"]', '[3]')"""
        )
        connection.exec_driver_sql("INSERT INTO region_nacks VALUES ('eu', 'a.example', 6, 'no', 5)")
    migrate.upgrade(engine)
    with engine.begin() as connection:
        (one,) = krane_replicas.of_region(connection, "eu")
        nacks = krane_replicas.nacks(connection, ["a.example"])
    engine.dispose()
    assert (one.replica_id, one.is_counted, one.is_shared, one.applied_version) == ("", True, False, 7)
    assert (one.last_contact_at, one.capabilities_json, one.unsupported_json) == (5, ["feed.route/1"], [3])
    assert [(nack.replica_id, nack.version, nack.message) for nack in nacks] == [("", 6, "no")]
