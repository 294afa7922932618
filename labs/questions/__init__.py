"""The questions of each lab, made from a seed, with what should come of them: the instructor's.

A module is named by its lab and has `questions(check, seed)`.  None of them is exported.
"""
