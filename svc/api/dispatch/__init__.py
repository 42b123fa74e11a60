"""From recorded intents to running workflows.

`dispatcher` sends the outbox until Restate has it, `reconciler` finds what got lost, `notifier` wakes waiting workflows
(an accelerator: they look for themselves every few seconds).
"""
