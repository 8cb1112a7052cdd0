"""Metrics of several processes in one answer."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from busway.telemetry import Metrics, merged


def test_metrics_of_others_have_their_name_and_stand_with_their_family() -> None:
    own, other = Metrics(), Metrics()
    own.appended.inc(3)
    own.backlog.labels("orders").set(7)
    other.appended.inc(1)
    other.backlog.labels("orders").set(7)
    other.lanes.labels('o{1}" \u2028x').set(2)
    other.batch_events.labels("orders").observe(3)
    text = merged(own.render(), {"1": other.render().decode()}).decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "each family is told once"
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["busway_appended_events_total", ()] == 3
    assert found["busway_appended_events_total", (("worker", "1"),)] == 1
    assert found["busway_lanes_held", (("flow", 'o{1}" \u2028x'), ("worker", "1"))] == 2
    assert found["busway_batch_events_count", (("flow", "orders"), ("worker", "1"))] == 1
    backlog = [key for key in found if key[0] == "busway_backlog_events"]
    assert backlog == [("busway_backlog_events", (("flow", "orders"),))], "told by one of them"


def test_alone_its_metrics_are_as_they_were() -> None:
    own = Metrics().render()
    assert merged(own, {}) == own
