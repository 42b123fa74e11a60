"""Objects: build contexts and other files that are too big for the database.

`port.ObjectStore` is what callers use. Each adapter is a folder (`disk`); its configuration section opens it, and
`factory` lists the sections. Adapters fail with `pkg.errors`: `object.path_invalid`, `object.not_found`,
`object.disk_full`, `object.unavailable`.

An object is immutable in use: its path carries its content's hash, so that writing it twice is the same as once.
"""
