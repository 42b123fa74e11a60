"""The schema of the control database: importing this package declares the tables of every domain on `metadata`.

A domain's code imports its own `tables`; only what needs all of them, such as the comparison with the migrations, comes
here. A new domain adds a line; a test finds a `tables.py` that is missing.
"""

import pkg.audit.tables
import pkg.builds.tables
import pkg.certificates.tables
import pkg.deletions.tables
import pkg.deployments.tables
import pkg.domains.tables
import pkg.drains.tables
import pkg.environments.tables
import pkg.feed.tables
import pkg.idempotency.tables
import pkg.installation.tables
import pkg.jobs.tables
import pkg.keys.tables
import pkg.operations.tables
import pkg.projects.tables
import pkg.regions.tables
import pkg.routes.tables
import pkg.workflows.tables
import pkg.workspaces.tables
from pkg.db.metadata import metadata

__all__ = ["metadata"]
