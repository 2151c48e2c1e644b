"""Generators of training data: one file per task, shared by all experiments on the task."""
