"""The role of a process."""

from __future__ import annotations

from typing import Literal

Role = Literal["all", "serve", "work"]
"""``serve``: the intake and the API, ``work``: the lanes, ``all``: both."""
