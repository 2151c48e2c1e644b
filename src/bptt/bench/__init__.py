"""Compare the speed of these layers with other libraries, for `bptt bench` and benchmarks/compare.py.

Read these first: `shapes` (the cases), `problem` (their data), `peers` (the libraries), `agreement` (the
check of results) and `clock` (timing in turns). Then read `limits` (the shortest possible time), `measure`
(one row of times) and `memory` (one row of bytes). The other modules are `worker` and `session` (one process
per number of threads), `lines` and `summary` (text for a terminal), and `results` (the JSON file).
"""
