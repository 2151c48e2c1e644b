"""The package version. This is the only file that contains it."""

__version__ = "0.1.0"
