"""SQL statements, one per file, in the directory ``sql`` of the package that runs them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load_statement(package: str, name: str) -> str:
    """Return the statement in ``sql/<name>.sql`` of a package, without its last semicolon.

    >>> load_statement("busway.driver.postgres", "session_is_active").splitlines()[1]
    'SELECT EXISTS ('
    """
    text = files(package).joinpath("sql", f"{name}.sql").read_text("utf-8")
    return text.strip().removesuffix(";")
