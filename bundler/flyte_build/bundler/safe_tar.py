"""`tarfile` with the `data` filter (PEP 706): the standard library's, or where Python is older its backport.

Debian 12 ships Python 3.11.2, and the filter came with 3.11.4 and 3.10.12.
"""

from __future__ import annotations

import importlib
import tarfile as _standard
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile
else:
    tarfile = _standard if hasattr(_standard, "data_filter") else importlib.import_module("backports.tarfile")

__all__ = ["tarfile"]
