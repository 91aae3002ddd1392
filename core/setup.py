"""Builds the optional C extension; everything else about the package is in ``pyproject.toml``.

It uses the stable ABI, so one file works with CPython 3.11 and later. If it cannot be compiled, the
package is installed without it and uses ``poller.py`` and ``token_reader.py`` instead.
``TOKENBENCH_PURE=1`` skips it; the wheel is then a pure Python wheel.
"""

import os
import sys
import sysconfig

from setuptools import Extension, setup

supported = (
    sys.platform == "linux"
    and sys.implementation.name == "cpython"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
wanted = supported and not os.environ.get("TOKENBENCH_PURE")
extension = Extension(
    "tokenbench.load._native",
    ["src/tokenbench/load/_native.c"],
    py_limited_api=True,
    optional=True,
)
setup(
    ext_modules=[extension] if wanted else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if wanted else {},
)
