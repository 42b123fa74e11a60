"""Alembic's entry: migrations run on the connection that `pkg.db.migrate` hands over, inside its transaction."""

from alembic import context

from pkg.db.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
