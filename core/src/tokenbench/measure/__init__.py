"""From records to metrics and a verdict: pure functions, no input or output.

Nothing is imported here, so that `definitions` can be printed without loading numpy.
"""
