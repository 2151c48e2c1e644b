"""Passes of a recurrent layer: arguments, tapes, results, and backends."""
