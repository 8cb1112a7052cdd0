"""Tables of the documentation that are derived from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric

from busway.settings import PREFIX, Settings
from busway.telemetry import Metrics

ROOT = Path(__file__).parents[1]


def settings_rows() -> Iterator[str]:
    """Yield a row for each field of the settings, with its default and its docstring."""
    tree = ast.parse((ROOT / "src/busway/settings.py").read_text("utf-8"))
    (settings,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    defaults = Settings()
    for field, text in zip(settings.body[1::2], settings.body[2::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(field.target, ast.Name)
        assert isinstance(text, ast.Expr)
        assert isinstance(text.value, ast.Constant)
        name, default = field.target.id, getattr(defaults, field.target.id)
        described = str(text.value.value).replace("``", "`")
        yield f"| `{PREFIX}{name.upper()}` | {_shown(default)} | {described} |"


def metric_rows() -> Iterator[str]:
    """Yield a row for each metric, by name."""
    metrics = Metrics()
    labels = {
        found._name: found._labelnames
        for found in vars(metrics).values()
        if hasattr(found, "_labelnames")
    }
    for metric in sorted(metrics.registry.collect(), key=lambda one: one.name):
        names = ", ".join(f"`{label}`" for label in labels[metric.name])
        yield f"| `{_exposed(metric)}` | {names} | {metric.documentation} |"


def _exposed(metric: Metric) -> str:
    return metric.name + ("_total" if metric.type == "counter" else "")


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if default == "":
        return ""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{default}`"
