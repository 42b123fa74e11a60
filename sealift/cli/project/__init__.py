"""Files of a project's directory: `sealift.toml`, `.env`, and what shows which kind of app it is."""
