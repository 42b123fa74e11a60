"""AcmeService: what has a certificate, what keeps others from having one, and the local authority."""
