"""KV blocks of one engine, counted so that any number of decode iterations costs the same."""

from __future__ import annotations


class BlockLedger:
    """How many KV blocks are used, and when the decoding sequences will need more.

    A decoding sequence needs one more block every `block_size` iterations. The ledger keeps, for every residue
    of the iteration count, how many sequences take a block at it, instead of a block table per sequence.
    """

    def __init__(self, total: int, block_size: int) -> None:
        self.total = total
        self.block_size = block_size
        self.used = 0
        self._due = [0] * block_size
        self._decoding = 0

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return self.total - self.used

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_size)

    def take(self, blocks: int) -> None:
        """Hand out blocks; the caller has checked `free`."""
        self.used += blocks

    def give_back(self, blocks: int) -> None:
        """Return blocks."""
        self.used -= blocks

    def start_decoding(self, context_tokens: int, iteration: int) -> None:
        """Count a sequence that stores `context_tokens` after `iteration` iterations and grows by one in each."""
        self._due[self._residue(context_tokens, iteration)] += 1
        self._decoding += 1

    def stop_decoding(self, context_tokens: int, iteration: int) -> None:
        """Forget a sequence that stores `context_tokens` after `iteration` iterations; keeps its blocks."""
        self._due[self._residue(context_tokens, iteration)] -= 1
        self._decoding -= 1

    def needed_at(self, iteration: int) -> int:
        """Blocks that the decoding sequences take in the iteration with this number."""
        return self._due[iteration % self.block_size]

    def grow(self, iteration: int, count: int) -> None:
        """Take the blocks of the `count` iterations that follow after `iteration`."""
        cycles, rest = divmod(count, self.block_size)
        taken = cycles * self._decoding
        for offset in range(1, rest + 1):
            taken += self._due[(iteration + offset) % self.block_size]
        self.used += taken

    def iterations_until_short(self, iteration: int, limit: int) -> int:
        """How many of the next `limit` iterations find enough free blocks."""
        free = self.free
        cycles = free // self._decoding if self._decoding else limit
        done = cycles * self.block_size
        if done >= limit:
            return limit
        left = free - cycles * self._decoding
        while done < limit:
            left -= self._due[(iteration + done + 1) % self.block_size]
            if left < 0:
                return done
            done += 1
        return limit

    def _residue(self, context_tokens: int, iteration: int) -> int:
        # Iteration i stores token number context + (i - iteration); it opens a block when the tokens stored
        # before it fill their blocks, that is when context + i - iteration - 1 is a multiple of the size.
        return (iteration + 1 - context_tokens) % self.block_size
