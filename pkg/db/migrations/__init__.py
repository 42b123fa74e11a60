"""Alembic migrations: one file per step, named by number."""
