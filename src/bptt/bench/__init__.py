"""Compare the speed of these layers with other libraries, for `bptt bench` and benchmarks/compare.py.

Read the modules in this order: `shapes` (what is timed), `problem` (its numbers), `peers` (the libraries),
`agreement` (whether results agree), `clock` (timing in turns), `measure` (one row of times), `memory` (one
row of bytes). Then read `worker` and `session` (one process per number of threads), `goals`, `lines` and
`table` (the text of the rows).
"""
