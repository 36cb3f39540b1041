"""Sentences to tokens and back: a byte-level BPE trained on the data, or a pretrained tokenizer by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .files import checked
from .foreign import load_foreign
from .likelihood import BOS, EOS, PAD

SPECIAL = ("<pad>", "<s>", "</s>")
"""Of a trained tokenizer, in the order of their numbers PAD, BOS, EOS."""
LEAST = 256 + len(SPECIAL)
"""Tokens of the smallest trained tokenizer: bytes and special ones."""


class Tokenizer:
    """Maps sentences to numbers below ``len(self)``; PAD, BOS and EOS are 0, 1 and 2 whatever lies inside.

    What looks like a special token in a sentence ("</s>") is text like any other. A pretrained Unigram model, as T5's,
    has no other token for it; there it is left out of the sentence, which goes on.

    Args:
        inner: a tokenizer of the library ``tokenizers``.
        specials: its own numbers of padding, start and end, which change places with 0, 1 and 2; the size of its
            vocabulary, and what comes after it, stand for those that it has not.

    Raises:
        ValueError: if the special numbers are not three different ones of tokens.
    """

    def __init__(self, inner: Any, specials: tuple[int, int, int] = (PAD, BOS, EOS)) -> None:
        known = int(inner.get_vocab_size(with_added_tokens=True))
        numbers = set(inner.get_vocab(with_added_tokens=True).values())
        lacking = sorted(number for number in set(specials) if number not in numbers)
        if lacking != list(range(known, known + len(lacking))):
            raise ValueError(f"specials is {specials}; give numbers of its tokens, or {known} for one that it lacks.")
        self.inner, self.specials = inner, specials
        self._size = max(known, max(specials) + 1, 3)
        self._to_inner = renumbering(self._size, specials)
        self._to_own = torch.argsort(self._to_inner)

    @classmethod
    def train(cls, sentences: Sequence[str], size: int = 2000) -> Tokenizer:
        """A byte-level BPE of at most ``size`` tokens; a function of its arguments.

        Raises:
            ValueError: if there are no sentences, or the size leaves no room for the 256 bytes.
        """
        from tokenizers import Tokenizer as Inner
        from tokenizers import decoders, models, pre_tokenizers, trainers

        if not sentences:
            raise ValueError("sentences is empty; a tokenizer is trained on at least one.")
        if size < LEAST:
            raise ValueError(f"size is {size}; give at least {LEAST}, every byte is a token.")
        inner = Inner(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=list(SPECIAL), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        inner.train_from_iterator(sentences, trainer)
        return cls(inner)

    @classmethod
    def from_pretrained(cls, name: str) -> Tokenizer:
        """The tokenizer of a pretrained model, by its name on the hub or its folder.

        A separator is its end where it has no other (BERT); padding and start are made up where it has none (GPT-2).

        Raises:
            ValueError: if it needs code of its own, is not of the fast kind, or lacks an end token.
        """
        from transformers import AutoTokenizer

        found = load_foreign(AutoTokenizer, name)
        eos = found.eos_token_id if found.eos_token_id is not None else found.sep_token_id
        if not found.is_fast or eos is None:
            raise ValueError(f"tokenizer is {name!r}, which has no end token or no fast form; take another.")
        inner = found.backend_tokenizer
        size = int(inner.get_vocab_size(with_added_tokens=True))
        pad = _first((found.pad_token_id, size), (eos,))
        return cls(inner, (pad, _first((found.bos_token_id, found.cls_token_id, size, size + 1), (pad, eos)), eos))

    def __len__(self) -> int:
        return self._size

    def begin(self) -> list[int]:
        """The inner numbers that the model wants before every text, such as BART's ``<s>``."""
        found = [int(number) for number in self.inner.encode("").ids]
        return found[: found.index(self.specials[2])] if self.specials[2] in found else found

    def encode(self, sentences: Sequence[str], length: int) -> Tensor:
        """Numbers of the text, an end token, padding; what is too long is cut, with the end last.

        Args:
            sentences: B strings.
            length: L.

        Returns:
            int64 [B, L].

        Raises:
            ValueError: if a sentence has half of a surrogate pair, or is longer than any reader takes.
        """
        for number, sentence in enumerate(sentences):
            checked(sentence, f"sentences[{number}]")
        self.inner.encode_special_tokens = True  # copies of it and its JSON forget that
        tokens = torch.full((len(sentences), length), PAD)
        for row, found in enumerate(self.inner.encode_batch(list(sentences), add_special_tokens=False)):
            numbers = self._to_own[torch.tensor(found.ids, dtype=torch.long)]
            numbers = numbers[numbers > EOS][: length - 1]
            tokens[row, : len(numbers)] = numbers
            tokens[row, len(numbers)] = EOS
        return tokens

    def decode(self, tokens: Tensor) -> list[str]:
        """Sentences of tokens [B, L], up to the first end token."""
        kept = []
        for row in tokens.tolist():
            text = row[: row.index(EOS)] if EOS in row else row
            kept.append([int(self._to_inner[number]) for number in text if number not in (PAD, BOS)])
        return [str(text) for text in self.inner.decode_batch(kept, skip_special_tokens=True)]

    def to_tensor(self) -> Tensor:
        """The inner tokenizer's JSON as bytes, uint8 [n], to be stored with a model beside ``specials``."""
        return torch.frombuffer(bytearray(self.inner.to_str().encode()), dtype=torch.uint8).clone()

    @classmethod
    def from_tensor(cls, tensor: Tensor, specials: tuple[int, int, int] = (PAD, BOS, EOS)) -> Tokenizer:
        """Take back what :meth:`to_tensor` gave, and the special numbers.

        Raises:
            ValueError: if the bytes are none, or the special numbers do not fit.
        """
        from tokenizers import Tokenizer as Inner

        if tensor.dtype != torch.uint8 or tensor.dim() != 1:
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise ValueError(f"the stored tokenizer is {found}, and must be bytes, uint8 [n]; load another file.")
        try:
            inner = Inner.from_str(tensor.cpu().numpy().tobytes().decode())
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"the stored tokenizer cannot be read ({error}); load another file.") from error
        return cls(inner, specials)


def _first(numbers: Sequence[int | None], taken: Sequence[int]) -> int:
    return next(number for number in numbers if number is not None and number not in taken)


def renumbering(size: int, specials: tuple[int, int, int]) -> Tensor:
    """Inner numbers by ours, int64 [size]: padding, start and end change places with 0, 1 and 2.

    Raises:
        ValueError: if they are not three different ones below the size.
    """
    if len(set(specials)) != 3 or not all(0 <= number < size for number in specials):
        raise ValueError(f"specials is {specials}; give three different numbers below {size}.")
    to_own = torch.arange(size)
    for ours, theirs in zip((PAD, BOS, EOS), specials, strict=True):
        place = int((to_own == ours).nonzero()[0])
        to_own[[place, theirs]] = to_own[[theirs, place]]
    return torch.argsort(to_own)
