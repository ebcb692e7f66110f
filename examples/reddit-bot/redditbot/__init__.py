"""A bot's back office: posts matched on Reddit, answers drafted for them, and for whom."""
