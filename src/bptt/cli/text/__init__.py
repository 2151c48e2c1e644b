"""Shared code of the commands that train text models: the corpus of the demo, the run, the results."""
