"""A harness for the worker's tests: real Restate, real SQLite, the real app over HTTP/2, fakes of what lies outside.

`harness.WorkerHarness` builds it. `region.FakeRegion` stands in for krane and the api: it runs the topologies,
reports it, and notifies workflows. `builder.FakeBuilder` is a Builder that a test controls.
"""
