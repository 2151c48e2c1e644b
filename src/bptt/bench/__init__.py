"""Compare the speed of these layers with other libraries, for `bptt bench` and benchmarks/compare.py.

Read first `shapes` (what is timed), `problem` (its numbers), `peers` (the libraries), `agreement` (whether
results agree) and `clock` (timing in turns). Then read `limits` (the shortest possible time), `measure` (one
row of times) and `memory` (one row of bytes). The rest is `worker` and `session` (one process per number of
threads), `lines` and `summary` (text for a terminal), and `results` (the JSON file).
"""
