"""A data directory of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", partitions=2, min_free_bytes=0)
