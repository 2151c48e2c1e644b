"""Published claims about recurrent networks, each one command away.

`python -m experiments --list` names them. `python -m experiments --quick` runs small versions of all.
"""
