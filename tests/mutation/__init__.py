"""Plants one-line mistakes and sees whether the nearest tests notice: `run.py test --mutants`.

`planting` finds the places and makes each `mutant`, with mutmut's operators. `nearest` says which
tests are run for a module. `running` runs them in copies of the tree, `report` counts, `command`
has the options. How it works and what it has found: tests/README.md.
"""
