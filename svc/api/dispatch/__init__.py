"""From recorded intents to running workflows.

`dispatcher` sends the outbox until Restate has it, `reconciler` ends or restarts what was lost, `notifier` notifies
waiting workflows (an accelerator: they also poll every few seconds). What they do for each workflow stands in the
catalogue, `pkg.workflows`.
"""
