"""Servers: what is not core.  They see messages and nothing else."""
