"""Passes of a recurrent layer: arguments, tapes, results, and the backends that compute them."""
