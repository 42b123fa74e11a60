"""The outbox of intents: what is still to be handed to Restate.

A row is written in the transaction of its intent. It is sent until Restate has accepted it; sending twice is harmless,
because the workflow's key is the row's.
"""
