"""Training time to a published result: bptt, PyTorch, and public replications in NumPy.

`python -m experiments.wallclock` needs PyTorch, which is in the extra `peers`.
"""
