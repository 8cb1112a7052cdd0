"""The source and the sink of busway-csv keep what Busway's suites ask for."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from busway_csv import CsvSink, CsvSource

from busway.ports import Sink, Source, SourceRequest
from busway.testing import OutageSinkSuite, RequestSourceSuite, source_request


class TestCsvSource(RequestSourceSuite):
    def declare(self, place: Path) -> Source:
        return CsvSource("orders", type="order.imported")

    def accepted(self) -> Sequence[SourceRequest]:
        return [source_request(b"id,total\n1,9.5\n2,\n", "text/csv")]

    def refused(self) -> Sequence[SourceRequest]:
        return [source_request(b"id\n\xff\n", "text/csv")]


class TestCsvSink(OutageSinkSuite):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        (tmp_path / "shop").mkdir()

    def declare(self, place: Path) -> Sink:
        return CsvSink(str(place / "shop" / "orders.csv"))

    async def take_away(self, place: Path) -> None:
        (place / "shop").rename(place / "moved")

    async def bring_back(self, place: Path) -> None:
        (place / "moved").rename(place / "shop")

    async def numbers(self, place: Path) -> Sequence[int]:
        file = place / "shop" / "orders.csv"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [int(number) for (number,) in csv.reader(lines)]
