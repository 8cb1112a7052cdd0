"""What every source must do. Subclass the suite of its kind and run pytest.

::

    class TestMySource(RequestSourceSuite):
        def declare(self, place: Path) -> Source:
            return MySource("orders")

        def accepted(self) -> Sequence[SourceRequest]:
            return [source_request(b'{"id": 1}')]

A source that receives requests takes :class:`busway.testing.RequestSourceSuite`, one that reads
takes :class:`busway.testing.ReaderSourceSuite`.
"""
# ruff: noqa: S101

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from busway.attribute import intake_problems
from busway.errors import SourceError
from busway.event import Event
from busway.ports import ReaderSource, RequestSource, Source, ValidatesConfig

TIMEOUT_S = 60.0
CODE = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
"""What the code of a refusal looks like."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class SourceSuite(ABC):
    """What holds for any source."""

    secrets: ClassVar[Sequence[str]] = ()
    """Texts in the declaration that no person may see."""

    @abstractmethod
    def declare(self, place: Path) -> Source:
        """Declare the source for what is at a place; an equal one for the same place."""

    def never_valid(self) -> Sequence[Source]:
        """Return declarations that can never work."""
        return ()

    def test_a_declaration_is_a_record_that_compares(self, tmp_path: Path) -> None:
        source, same = self.declare(tmp_path), self.declare(tmp_path)
        assert isinstance(source, Source)
        assert source == same
        assert isinstance(source, RequestSource) != isinstance(source, ReaderSource)

    def test_its_name_can_be_used_in_commands_and_addresses(self, tmp_path: Path) -> None:
        name = self.declare(tmp_path).name
        assert NAME.fullmatch(name)
        assert not [secret for secret in self.secrets if secret in name]

    def test_a_configuration_that_never_works_is_refused(self, tmp_path: Path) -> None:
        source = self.declare(tmp_path)
        if isinstance(source, ValidatesConfig):
            source.validate_config()
        for wrong in self.never_valid():
            assert isinstance(wrong, ValidatesConfig)
            with pytest.raises(SourceError):
                wrong.validate_config()


def check_events(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the members of events, each of which the intake would accept."""
    members = [msgspec.json.decode(event.to_json()) for event in events]
    for event in members:
        assert intake_problems(event) == []
    return members
