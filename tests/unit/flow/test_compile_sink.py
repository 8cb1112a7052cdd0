"""A mistake in a sink is told without the secrets that its declaration has."""

from __future__ import annotations

import pytest

from busway import env
from busway.errors import SinkError
from busway.flow.compile_sink import sink_mistakes
from busway.ports import Destination, SinkContext
from busway.settings import Env, resolve
from busway.sinks import http


class Hook:
    """A sink of somebody else, which repeats what it was given."""

    def __init__(self, url: Env) -> None:
        self.url = url

    @property
    def name(self) -> str:
        return "hook"

    async def open(self, supplies: SinkContext) -> Destination:
        raise NotImplementedError

    def validate_config(self) -> None:
        raise SinkError(f"hook({resolve(self.url)!r}): give a URL")


@pytest.mark.parametrize(
    "value", ["", "hooks.example/in/S3CRET-a1b2c3", "htps://hooks.example/in/S3CRET-a1b2c3"]
)
def test_a_url_from_the_environment_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CRM_URL", value)
    mistakes = list(sink_mistakes(http(env("CRM_URL"))))
    assert mistakes == ["to: http($CRM_URL): give a URL like https://host/path"]


def test_a_value_of_the_environment_is_in_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_URL", "hooks.example/in/S3CRET-a1b2c3")
    assert list(sink_mistakes(Hook(env("HOOK_URL")))) == ["to: hook('***'): give a URL"]
