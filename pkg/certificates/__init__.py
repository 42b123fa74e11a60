"""TLS certificates: which hostnames want one, who issues it, when it is due, and what is served.

`wanted` says which hostnames are to have a certificate, `schedule` when an order is due; both are pure. `local` is the
installation's own certificate authority. `queries` holds the statements; `config` is the section `[tls]`.

A managed certificate is the standing wish for certificates of one hostname (or of one and its wildcard); an order is
one attempt to get one; a certificate is what an order brought, with its sealed key. A certificate is served from its
insertion to its deletion: both are changes of the desired-state feed.
"""
