"""Make and check what a release publishes. `python -m release` does everything but the upload."""
