{"version": "{{VERSION}}", "revision": "{{REVISION}}", "built_at": "{{COMMIT_TIME}}"}
