"""What an administrator does to a stream, past Busway."""

from __future__ import annotations

import json
from typing import Any

import nats

from delivery_node import DEADLINE_S
from nats_cluster import NatsCluster


async def request(server: NatsCluster, subject: str, body: dict[str, Any]) -> Any:
    client = await nats.connect(f"nats://{server.servers}")
    answer = json.loads((await client.request(subject, json.dumps(body).encode(), DEADLINE_S)).data)
    await client.close()
    assert "error" not in answer, answer
    return answer


async def edit(server: NatsCluster, name: str, **changes: Any) -> None:
    found = await request(server, f"$JS.API.STREAM.INFO.{name}", {})
    await request(server, f"$JS.API.STREAM.UPDATE.{name}", found["config"] | changes)
