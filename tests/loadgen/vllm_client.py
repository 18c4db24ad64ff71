"""A client of one simulated vLLM server, and what it asks."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson

from loadgen.vllm.instance import Instance
from loadgen.vllm.spec import InstanceSpec

SPEC = InstanceSpec(
    model="tiny-a",
    aliases=("auto",),
    max_model_len=400,
    max_num_seqs=4,
    max_num_batched_tokens=512,
    kv_blocks=64,
    time_scale=20.0,
    stream_flush_seconds=0.002,
)


HELLO = [{"role": "user", "content": "Tell me something about the weather."}]


SLOW = {"messages": HELLO, "ttca_sim": {"output_tokens": 350}}


class Client:
    """Talks to one instance."""

    def __init__(self, instance: Instance, session: aiohttp.ClientSession) -> None:
        self.instance = instance
        self.session = session

    def url(self, path: str) -> str:
        return f"http://{self.instance.address}{path}"

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(self.url(path), data=data, headers=headers) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def stream(self, path: str, body: dict[str, Any]) -> list[Any]:
        async with self.session.post(self.url(path), json={**body, "stream": True}) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            text = (await answer.read()).decode()
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else orjson.loads(line) for line in lines]

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url(path)) as answer:
            return answer.status, await answer.text()

    async def metric(self, name: str) -> float:
        _, page = await self.get("/metrics")
        return sum(
            float(line.split()[-1]) for line in page.splitlines() if line.startswith((name + "{", name + " "))
        )

    async def until(self, name: str, value: float) -> None:
        async with asyncio.timeout(5):
            while await self.metric(name) != value:
                await asyncio.sleep(0.005)
