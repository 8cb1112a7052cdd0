"""The control API: operations of ``control`` over HTTP, described by OpenAPI."""
