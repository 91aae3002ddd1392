"""From throughput to money, power and bounds: pure, vectorised functions of numpy arrays, one entry
per point. No files, no processes.

A number that cannot be derived is NaN in a :class:`~.column.Column` and None in its `listed()`;
never 0.
"""
