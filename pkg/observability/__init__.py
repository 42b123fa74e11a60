"""What a service says about itself: JSON log lines, Prometheus metrics, OpenTelemetry spans.

`logging` (configure, fields, bind), `metrics.Metrics` on its own registry, `tracing.configure` -> `Tracing`. None of
them ever fails a request: what cannot be written is dropped. Tokens and signatures of URLs are cut out of every line.
"""
