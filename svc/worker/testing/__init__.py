"""A harness for the worker's tests: real Restate, real SQLite, the real app over HTTP/2, fakes of what lies outside.

`harness.WorkerHarness` builds it. `region.FakeRegion` does what krane and the api would: it runs what it is told,
reports it, and notifies workflows. `builder.FakeBuilder` is a Builder that a test controls.
"""
