"""Turns texts into token ids with the checkpoint's own tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.tokenizer_builds import build
from predictor.errors import CheckpointError

TokenIds = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text's token ids, shape [tokens], and whether the text was cut."""

    ids: TokenIds
    truncated: bool


class TextTokenizer:
    """The checkpoint's tokenizer with padding off and truncation at ``max_length_tokens``.

    Threads may share it: what cannot change while another thread encodes is set once, here.

    Raises:
        CheckpointError: its files are corrupt, have more tokens than the model has embeddings, or leave no room for a
            text.
    """

    def __init__(self, checkpoint: Checkpoint, *, max_length_tokens: int) -> None:
        file = checkpoint.tokenizer_files[0]
        try:
            tokenizer = build(checkpoint)
        except CheckpointError as error:
            raise CheckpointError(f"{file}: {error}" if str(file.parent) not in str(error) else str(error)) from error
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{file} is corrupt or no tokenizer: {error}") from error
        # An empty line of a vocabulary is a token that no text has.
        known = 1 + max((index for token, index in tokenizer.get_vocab().items() if token), default=-1)
        if known > checkpoint.config.vocab_size:
            raise CheckpointError(
                f"{file} knows {known} tokens, more than the {checkpoint.config.vocab_size} embeddings of the model"
            )
        specials = tokenizer.num_special_tokens_to_add(is_pair=False)
        if specials == 0:
            raise CheckpointError(f"{file} adds no [CLS] token, which the model reads its answer from")
        if specials >= max_length_tokens:
            raise CheckpointError(f"{file}: a maximum of {max_length_tokens} tokens leaves no room for a text")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length_tokens, direction=checkpoint.tokenizer.truncation_side)
        tokenizer.encode_special_tokens = bool(checkpoint.tokenizer.settings.get("split_special_tokens", False))
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Give ids and truncation of each text, in order."""
        return [
            Encoded(ids=np.array(encoding.ids, dtype=np.int32), truncated=bool(encoding.overflowing))
            for encoding in self._tokenizer.encode_batch_fast(list(texts))
        ]
