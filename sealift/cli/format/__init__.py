"""Values as people read them: text, tables, timelines, deployments, builds and their logs. Pure."""
