"""The `clickhouse` store: one table in a ClickHouse server that the api and the worker reach over HTTP.

`config` is its section; `store` and the client library are loaded only when the section opens it.
"""
