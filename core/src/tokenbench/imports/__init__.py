"""Results of other tools become a run directory that reports and comparisons work on.

Nothing is repaired: missing values are None, and contradicting figures are kept, with a note.
"""
