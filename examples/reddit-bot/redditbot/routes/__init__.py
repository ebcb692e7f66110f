"""The application's own endpoints, one file a subject."""
