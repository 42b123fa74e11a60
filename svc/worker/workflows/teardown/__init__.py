"""Workflow `Teardown`, keyed by deletion id: deletes a deployment, an environment or a project.

Every step finds what an earlier run of it has done. Nothing is undone: what was deleted stays deleted.
"""
