"""A bot's back office: posts matched on Reddit, the answers drafted for them, and who they are for."""
