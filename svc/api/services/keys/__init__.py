"""KeyService: access keys of the workspace; a key is shown once, when it is made."""
