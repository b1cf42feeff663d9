"""Small recurrent and convolutional readers whose averaged judgement the student learns from."""

import torch
from torch import Tensor, nn

from training.rows import LABELS
from training.vocabulary import PAD

_LEAST = -1e4


class Reader(nn.Module):  # type: ignore[misc]
    """Embeddings, one kind of context, pooling over the text, a linear classifier.

    Args:
        kind: "gru" (both directions, maximum and mean) or "cnn" (widths 1, 3, 5, maximum).
        vocabulary: number of word pieces.
        width: size of an embedding.
        dropout: share of embedding and pooled units dropped.
    """

    def __init__(self, *, kind: str, vocabulary: int, width: int = 128, dropout: float = 0.5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.context = _CONTEXTS[kind](width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.context.width, len(LABELS))

    def forward(self, ids: Tensor) -> Tensor:
        """Judge texts: token ids (texts, tokens) to logits (texts, labels)."""
        real = (ids != PAD).unsqueeze(-1)
        pooled = self.context(self.dropout(self.embedding(ids)), real)
        return self.classifier(self.dropout(pooled))


class _Context(nn.Module):  # type: ignore[misc]
    """Reads embeddings in context and pools them; width is the size of what it gives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


class _Recurrent(_Context):
    def __init__(self, width: int) -> None:
        super().__init__(4 * width)
        self.cell = nn.GRU(width, width, bidirectional=True, batch_first=True)

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        lengths = real.sum(dim=(1, 2))
        packed = nn.utils.rnn.pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.cell(packed)[0], batch_first=True, total_length=states.shape[1])
        return torch.cat([out.masked_fill(~real, _LEAST).amax(1), out.sum(1) / lengths.unsqueeze(1)], dim=1)


class _Convolution(_Context):
    def __init__(self, width: int) -> None:
        super().__init__(3 * width)
        self.filters = nn.ModuleList(nn.Conv1d(width, width, size, padding=size // 2) for size in (1, 3, 5))

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        columns = (states * real).transpose(1, 2)
        features = torch.cat([torch.relu(each(columns)) for each in self.filters], dim=1)
        return features.masked_fill(~real.transpose(1, 2), 0).amax(-1)


_CONTEXTS: dict[str, type[_Context]] = {"gru": _Recurrent, "cnn": _Convolution}
