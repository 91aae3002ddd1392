"""From records to metrics and a verdict: pure functions, no input or output.

This file imports nothing, so that `definitions` can be printed without loading numpy.
"""
