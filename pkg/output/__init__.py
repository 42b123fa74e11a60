"""Output of tenants' programs made safe and short enough to show. Pure.

`redact` takes out what is secret, by value (`forms` knows how a value looks when it is printed, `variables` which
values of an environment are secrets at all) and by shape. `text` makes lines printable, `excerpt` keeps those that show
why something failed.
"""
