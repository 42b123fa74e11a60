"""DNS providers: where TXT records for DNS-01 challenges are made.

`DnsProvider` is the port; each adapter is a folder, its section is in `config`, and `factory` opens it. All of them
raise `DnsFailure`, whose message holds no key.
"""
