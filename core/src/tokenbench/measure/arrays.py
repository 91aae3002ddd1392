"""Types and dtypes of the arrays of records and chunks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenbench.load.records import CHUNK_FIELDS, RECORD_FIELDS, SESSION_FIELDS, numpy_layout

Rows = npt.NDArray[np.void]
"""Structured array of :data:`RECORD_DTYPE` or :data:`CHUNK_DTYPE`."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RECORD_DTYPE = np.dtype(numpy_layout(RECORD_FIELDS))
CHUNK_DTYPE = np.dtype(numpy_layout(CHUNK_FIELDS))
SESSION_DTYPE = np.dtype(numpy_layout(SESSION_FIELDS))

NS_PER_S = 1e9
