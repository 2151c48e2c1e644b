"""How fast these layers are beside others on the same machine: behind `bptt bench` and benchmarks/compare.py.

Read in this order: `shapes` (what is timed), `problem` (its numbers), `peers` (who takes part), `agreement`
(do they compute the same?), `clock` (taking turns), `measure` (one row), `memory` (one row of bytes),
`worker` and `session` (a process of its own per number of threads), `goals`, `lines` and `table` (what the
rows say).
"""
