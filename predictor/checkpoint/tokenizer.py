"""Texts to token ids, as the checkpoint's own tokenizer cuts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from predictor.checkpoint.artifact import Checkpoint, read_json
from predictor.errors import CheckpointError

TokenIds = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text's token ids, shape [tokens], and whether the text was longer than the model reads."""

    ids: TokenIds
    truncated: bool


class TextTokenizer:
    """The checkpoint's tokenizer with padding off and truncation at ``max_length_tokens``.

    Threads may share it: what the library could not change while another thread encodes is set once, here.

    Raises:
        CheckpointError: its file is corrupt or knows more tokens than the model has embeddings.
    """

    def __init__(self, checkpoint: Checkpoint, *, max_length_tokens: int) -> None:
        file = checkpoint.tokenizer_files[0]
        try:
            tokenizer = Tokenizer.from_file(str(file)) if file.suffix == ".json" else _from_vocabulary(checkpoint)
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{file} is corrupt or no tokenizer: {error}") from error
        known = tokenizer.get_vocab_size(with_added_tokens=True)
        if known > checkpoint.config.vocab_size:
            raise CheckpointError(
                f"{file} knows {known} tokens, more than the {checkpoint.config.vocab_size} embeddings of the model"
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length_tokens)
        self._tokenizer = tokenizer
        self._specials = tokenizer.num_special_tokens_to_add(is_pair=False)
        if self._specials == 0:
            raise CheckpointError(f"{file} adds no [CLS] token, which the model reads its answer from")

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Give ids and truncation of each text, in order."""
        return [
            Encoded(ids=np.array(encoding.ids, dtype=np.int32), truncated=bool(encoding.overflowing))
            for encoding in self._tokenizer.encode_batch_fast(list(texts))
        ]


def _from_vocabulary(checkpoint: Checkpoint) -> Any:
    vocabulary, *settings = checkpoint.tokenizer_files
    lowercase = read_json(settings[0]).get("do_lower_case", True) if settings else True
    built = BertWordPieceTokenizer(vocab=str(vocabulary), lowercase=bool(lowercase))
    return built._tokenizer  # noqa: SLF001 - the wrapper has no other way to its Tokenizer
