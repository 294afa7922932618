"""How a student's code is asked, one module per kind of lab; all of this runs in the judge's child.

A module has `answer(told, desk)`, which returns what the child says of the question.
"""
