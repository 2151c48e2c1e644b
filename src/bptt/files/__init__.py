"""Save models and training runs to files: written completely or not at all, checked before use."""

from bptt.files.checkpoint import CheckpointError, Saved, load, read_checkpoint, save

__all__ = ["CheckpointError", "Saved", "load", "read_checkpoint", "save"]
