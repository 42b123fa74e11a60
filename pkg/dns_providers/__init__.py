"""DNS providers: where TXT records for DNS-01 challenges are made.

`DnsProvider` is the port; each adapter is a folder, and its section is in `config`. Fails with `pkg.errors` of the
codes dns.refused and dns.unreachable; no message holds a key.
"""
