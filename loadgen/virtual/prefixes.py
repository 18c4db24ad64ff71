"""What an instance still knows of prompts that it has answered: vLLM's prefix cache, by whole prompts.

Blocks of a finished request stay until somebody else needs them, the least recently used first. So a prompt is still
cached as long as it and all that were finished after it fit into the blocks that nobody uses.
"""

from __future__ import annotations

from collections import OrderedDict


class PrefixStore:
    """Prompts of one instance, least recently used first."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, int] = OrderedDict()

    def keep(self, key: str, tokens: int) -> None:
        """A request with this prompt has ended: its blocks are the last to go."""
        self._tokens[key] = tokens
        self._tokens.move_to_end(key)

    def cached(self, key: str, unused_tokens: int) -> int:
        """Tokens of a prompt that are still cached: all or none; what no longer fits is forgotten.

        Args:
            key: Names the prompt.
            unused_tokens: Room of the blocks that no running request uses, in tokens.
        """
        held = sum(self._tokens.values())
        while held > unused_tokens and self._tokens:
            held -= self._tokens.popitem(last=False)[1]
        return self._tokens.get(key, 0)
