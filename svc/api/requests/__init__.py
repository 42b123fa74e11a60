"""What the servicers share about requests: checks of fields, look-ups, paging, idempotency keys, settings, streams.

A check raises `InvalidArgument` naming the field, a look-up `NotFound`; both give what they found. Knows no servicer.
"""
