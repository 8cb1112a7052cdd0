"""The composition root: builds a running Busway from its parts."""

from busway.app.node import Node
from busway.app.role import Role

__all__ = ["Node", "Role"]
