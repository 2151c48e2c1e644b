"""Compare the speed of these layers with other libraries, for `bptt bench` and benchmarks/compare.py.

Read the modules in this order: `shapes` (what is timed), `problem` (its numbers), `peers` (the libraries),
`agreement` (whether results agree), `clock` (timing in turns), `limits` (the shortest time that is possible),
`measure` (one row of times), `memory` (one row of bytes). Then read `worker` and `session` (one process per
number of threads), `lines` and `summary` (text for a terminal), and `results` (the JSON file).
"""
