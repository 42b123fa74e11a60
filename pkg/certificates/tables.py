"""The tables of certificates, of orders for them, and of those who issue them."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from pkg.db.metadata import metadata

# What is to have a certificate: a hostname, or a domain with its wildcard. `due_at`: of the next order. `directory`: of
# the ACME server, "" for the local authority.
managed_certificates = Table(
    "managed_certificates",
    metadata,
    Column("name", String(253), primary_key=True),
    Column("names_json", JSON, nullable=False),
    Column("workspace_id", String(64), ForeignKey("workspaces.id")),
    Column("issuer", String(16), nullable=False),
    Column("challenge", String(16), nullable=False),
    Column("certificate_id", String(64)),
    Column("due_at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("failed_at", BigInteger),
    Column("renewal_info_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("directory", String(512)),
    Index(None, "due_at"),
)

# What is served, from its insertion to its deletion. `name`: of the managed certificate. `version`: of the change.
certificates = Table(
    "certificates",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(253), nullable=False),
    Column("names_json", JSON, nullable=False),
    Column("issuer", String(16), nullable=False),
    Column("chain_pem", Text, nullable=False),
    Column("data_key", LargeBinary, nullable=False),
    Column("key_sealed", LargeBinary, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "name"),
)

# Attempts to get a certificate by ACME; each is a run of the workflow `Certificate`. `url`: of the order there.
certificate_orders = Table(
    "certificate_orders",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(253), nullable=False),
    Column("names_json", JSON, nullable=False),
    Column("challenge", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("url", String(1024)),
    Column("data_key", LargeBinary, nullable=False),
    Column("key_sealed", LargeBinary, nullable=False),
    Column("certificate_id", String(64)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("traceparent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "status"),
    # one at a time for a name
    Index(
        "uq_certificate_orders_active",
        "name",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# Answers to challenges: by the ingress (http-01, a change of the feed) or in the DNS (dns-01).
acme_challenges = Table(
    "acme_challenges",
    metadata,
    Column("token", String(128), primary_key=True),
    Column("order_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("hostname", String(253), nullable=False),
    Column("value", String(512), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "order_id"),
)

# One for each directory. Nothing is ordered there before `paused_until`: the server asked for it.
acme_accounts = Table(
    "acme_accounts",
    metadata,
    Column("directory", String(512), primary_key=True),
    Column("email", String(254), nullable=False),
    Column("url", String(1024)),
    Column("data_key", LargeBinary, nullable=False),
    Column("key_sealed", LargeBinary, nullable=False),
    Column("paused_until", BigInteger, nullable=False),
    Column("pause_reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# One row: the installation's own certificate authority.
local_authority = Table(
    "local_authority",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("certificate_pem", Text, nullable=False),
    Column("data_key", LargeBinary, nullable=False),
    Column("key_sealed", LargeBinary, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
