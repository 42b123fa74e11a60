"""What api and krane agree on about desired state, as plain values: no database, no protobuf.

`capabilities` says what a krane must be able to do for each kind of change and each field of a route; `route` is the
value of a route; `scaling` is the value of the bounds of a number of instances.
"""
