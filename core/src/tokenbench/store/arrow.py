"""Arrow arrays built from buffers.

`pyarrow.array` imports pandas if it is installed, to check for pandas values: 0.25 s and 50 MiB for
values that never occur here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import guarded, replace_durably


def number_array(values: Any, *, absent: int | None = None) -> Any:
    """An array that shares numpy's memory; values equal to `absent` are null."""
    import numpy as np
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    valid = None if absent is None else _bitmap(values != absent)
    buffers = [valid, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def value_array(values: Sequence[Any], kind: str) -> Any:
    """An array of Python values; None is null.

    Args:
        kind: ``string``, ``bool``, or a numpy number type such as ``int64``.
    """
    import numpy as np
    import pyarrow as pa

    valid = _bitmap([value is not None for value in values])
    if kind == "string":
        texts = [(value or "").encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [valid, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    elif kind == "bool":
        buffers = [valid, _bitmap([bool(value) for value in values])]
    else:
        buffers = [valid, pa.py_buffer(np.array([value or 0 for value in values], kind))]
    return pa.Array.from_buffers(pa.type_for_alias(kind), len(values), buffers)


def _bitmap(flags: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.asarray(flags, bool), bitorder="little"))


def write_columns(columns: Mapping[str, Any], schema: str, target: Path) -> Path:
    """Write columns as a Parquet file, of which readers never see a part. Returns its path.

    Args:
        schema: name and version, for the file's metadata.

    Raises:
        MachineError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns).replace_schema_metadata({"tokenbench.schema": schema})
    draft = target.with_name(f".{target.name}")
    with guarded(target):
        try:
            pq.write_table(table, draft, compression="zstd")
            replace_durably(draft, target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    return target
