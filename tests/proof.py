"""What servers of tests ask of the callers of their API, and how it is brought."""

from __future__ import annotations

TOKEN = "for-tests-9f3kq7zxw2mv"
PROOF = {"authorization": f"Bearer {TOKEN}"}
