"""Durable work: every workflow that Sealift can start, and the outbox that hands it to Restate.

`catalogue.ALL` lists the workflows; each stands in one file (`deploy`, `building`, `switch`) as a `model.Workflow`: its
handlers and messages, its rows and their terminal statuses, what a drain waits for, who is notified of what regions
report, and how its row is ended when Restate has lost it. `objects` holds the handlers of the virtual objects that
workflows call. The api's dispatcher, reconciler and notifier, its report handlers and the drain read the catalogue; a
workflow that is not in it can't be started.

`outbox` holds the statements about dispatch rows. A row is written in the transaction of its intent and is sent until
Restate has accepted it; sending twice is harmless, because the workflow's key is the row's. `queries` holds the
statements about the rows of all workflows.
"""
