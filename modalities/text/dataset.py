"""Sentences as tokens: one tensor, whole batches by indexing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from latentgen.tensors import Batch

from .likelihood import EOS
from .tokenizer import Tokenizer


class TokenData:
    """Sentences by number; ``__getitems__`` gives whole batches.

    Args:
        sentences: the text.
        tokenizer: makes tokens of it.
        length: L, the longest sentence in tokens, its end included.
        drop_long: leave out sentences that are longer; otherwise they are cut.
        condition: of each sentence, float32 [N, K], where there is one.

    Attributes:
        tokens: int64 [N, L].
        left_out: number of sentences that were too long.

    Raises:
        ValueError: if nothing is left.
    """

    def __init__(
        self,
        sentences: Sequence[str],
        tokenizer: Tokenizer,
        length: int,
        drop_long: bool = False,
        condition: Tensor | None = None,
    ) -> None:
        tokens = tokenizer.encode(list(sentences), length + 1)
        fits = tokens[:, length] != EOS
        self.left_out = int((~fits).sum())
        if drop_long:
            tokens = tokens[fits]
            condition = condition if condition is None else condition[fits]
        cut = tokens[:, :length].clone()
        if not drop_long:
            cut[~fits, -1] = EOS
        if not len(cut):
            raise ValueError(f"length is {length} tokens, and every one of {len(sentences)} sentences is longer.")
        self.tokens: Tensor = cut
        self.condition = condition

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, number: int) -> Batch:
        """One sentence: ``tokens`` int64 [L], and its ``condition`` [K], if it has one."""
        return {key: value[0] for key, value in self.__getitems__([number]).items()}

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """A batch: ``tokens`` int64 [B, L], and ``condition`` [B, K], if there is one."""
        batch = {"tokens": self.tokens[list(numbers)]}
        return batch if self.condition is None else {**batch, "condition": self.condition[list(numbers)]}
