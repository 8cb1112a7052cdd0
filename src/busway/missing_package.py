"""Messages about packages that are not installed."""

from __future__ import annotations

import shlex
import sys

EXTRAS = {"asyncpg": "postgres", "nats": "nats"}
"""The extra of Busway that installs a module."""
_PACKAGE_NAMES = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages whose name differs from their module's."""


def missing_module(module: str) -> str:
    """Return a message about a missing module: in which Python, and how to install it.

    >>> missing_module("asyncpg").partition("; ")[2].partition(" -m ")[2]
    "pip install 'busway[postgres]'"
    """
    top = module.partition(".")[0]
    return f"no module named {module!r} in this Python, {sys.executable}; {install_hint(top)}"


def install_hint(module: str) -> str:
    """Return the command that installs the package of a module into this Python."""
    extra = EXTRAS.get(module)
    package = f"'busway[{extra}]'" if extra else _PACKAGE_NAMES.get(module, module)
    return f"install it: {shlex.quote(sys.executable)} -m pip install {package}"
