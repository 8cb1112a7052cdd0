"""The sources to declare: ``from busway.sources import webhook``."""

__all__: list[str] = []
