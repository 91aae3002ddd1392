"""Arrow arrays from their buffers.

`pyarrow.array` imports pandas where it is installed, to ask whether it was given some of its: a
quarter of a second and 50 MiB, for what no value here can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def of_numbers(values: Any, *, absent: int | None = None) -> Any:
    """An array over numpy's memory; values equal to `absent` are null."""
    import numpy as np
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    known = None if absent is None else _bits(values != absent)
    buffers = [known, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def of_values(values: Sequence[Any], kind: str) -> Any:
    """An array of plain values; None is null.

    Args:
        kind: ``string``, ``bool``, or a number's type as numpy names it.
    """
    import numpy as np
    import pyarrow as pa

    known = _bits([value is not None for value in values])
    if kind == "string":
        texts = [(value or "").encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [known, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    elif kind == "bool":
        buffers = [known, _bits([bool(value) for value in values])]
    else:
        buffers = [known, pa.py_buffer(np.array([value or 0 for value in values], kind))]
    return pa.Array.from_buffers(pa.type_for_alias(kind), len(values), buffers)


def _bits(flags: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.asarray(flags, bool), bitorder="little"))
