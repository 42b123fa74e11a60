"""Every domain's queries are tested on SQLite and on PostgreSQL."""

from tests.packaging.repository import ROOT, files


def test_every_domain_with_queries_is_tested_on_both_databases() -> None:
    """Promise: each has tests that ask for the fixture `db` of pkg/conftest.py, which runs them twice."""
    untested = [
        str(queries.parent.relative_to(ROOT))
        for queries in files("pkg/*/queries.py")
        if not any("(db: Database" in test.read_text() for test in queries.parent.glob("*_test.py"))
    ]
    assert untested == []


def test_no_test_of_a_domain_opens_a_database_of_its_own() -> None:
    """Promise: nothing is tested on SQLite only, but what SQLite's files are about."""
    about_files = {"pkg/db/faults_test.py", "pkg/db/offline_test.py"}
    own = {
        str(test.relative_to(ROOT)) for test in files("pkg/*_test.py") if 'Database.open(f"sqlite' in test.read_text()
    }
    assert own - about_files == set()
