"""Results of other tools become a run directory that reports and comparisons work on.

Nothing is repaired: what a source lacks is None, and figures of a source that contradict each other
stay as they are, with a note.
"""
