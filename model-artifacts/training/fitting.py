"""Fits a classifier to soft targets: length-bucketed batches, AdamW, one cosine, averaged weights."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from training.corpus import Corpus, Ids, Scores
from training.vocabulary import MASK, PAD, SPECIAL_TOKENS

Forward = Callable[[nn.Module, Tensor], Tensor]
_BATCHES_PER_POOL = 50


@dataclass(frozen=True)
class Recipe:
    """How to fit one model; rates are per step, shares between 0 and 1."""

    epochs: int
    learning_rate: float
    weight_decay: float
    word_dropout: float
    batch_texts: int = 128
    batch_tokens: int = 4096
    warmup_share: float = 0.05
    average_decay: float = 0.999


def pad(ids: list[Ids]) -> Tensor:
    """Stack texts into (texts, longest) int64, padded with [PAD]."""
    out = np.full((len(ids), max(map(len, ids))), PAD, dtype=np.int64)
    for row, each in enumerate(ids):
        out[row, : len(each)] = each
    return torch.from_numpy(out)


def predict(model: nn.Module, forward: Forward, ids: list[Ids]) -> Scores:
    """Score texts with dropout off.

    Returns:
        (texts, labels) float32, rows sum to 1, in the order of ids.
    """
    model.eval()
    order = np.argsort([len(each) for each in ids], kind="stable")
    scores = np.zeros((len(ids), 2), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 128):
            chosen = order[start : start + 128]
            logits = forward(model, pad([ids[index] for index in chosen]))
            scores[chosen] = torch.softmax(logits.float(), dim=-1).numpy()
    return scores


def batches(corpus: Corpus, recipe: Recipe, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield indices of texts of like length: sorted inside random pools, the batches shuffled."""
    order = rng.permutation(len(corpus))
    lengths = np.array([len(each) for each in corpus.ids])
    found = []
    pool = recipe.batch_texts * _BATCHES_PER_POOL
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        while len(part):
            longest = int(lengths[part[: recipe.batch_texts]].max())
            size = min(recipe.batch_texts, max(1, recipe.batch_tokens // longest))
            found.append(part[:size])
            part = part[size:]
    for index in rng.permutation(len(found)):
        yield found[index]


def drop_words(ids: Tensor, share: float) -> Tensor:
    """Replace a share of the tokens by [MASK]; special tokens and padding stay."""
    hit = (torch.rand(ids.shape) < share) & (ids >= len(SPECIAL_TOKENS))
    return ids.masked_fill(hit, MASK)


def fit(
    model: nn.Module,
    forward: Forward,
    corpus_of_epoch: Callable[[int], Corpus],
    recipe: Recipe,
    *,
    rng: np.random.Generator,
    name: str,
    after_epoch: Callable[[nn.Module], str],
) -> nn.Module:
    """Fit a model.

    Args:
        model: trained in place.
        forward: logits (texts, labels) of token ids (texts, tokens).
        corpus_of_epoch: the texts and targets of an epoch, by its number.
        recipe: how.
        rng: order of the batches; torch's own generator draws dropout.
        name: shown beside the progress bar.
        after_epoch: says something about the averaged weights.

    Returns:
        A copy of the model with the exponential average of its weights.
    """
    average = copy.deepcopy(model)
    average.requires_grad_(requires_grad=False)
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    weights, averages = list(model.parameters()), list(average.parameters())
    step = 0
    for epoch in range(recipe.epochs):
        corpus = corpus_of_epoch(epoch)
        chosen_batches = list(batches(corpus, recipe, rng))
        model.train()
        bar = tqdm(chosen_batches, desc=f"{name} {epoch + 1}/{recipe.epochs}", mininterval=1.0, unit="batch")
        for position, chosen in enumerate(bar):
            rate = schedule((epoch + position / len(chosen_batches)) / recipe.epochs, recipe.warmup_share)
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * rate
            ids = drop_words(pad([corpus.ids[index] for index in chosen]), recipe.word_dropout)
            loss = nn.functional.cross_entropy(forward(model, ids), torch.from_numpy(corpus.targets[chosen]))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            step += 1
            # The average of few steps is no average: its memory grows to what the recipe says.
            keep = min(recipe.average_decay, step / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1 - keep)
        print(f"{name}: epoch {epoch + 1} of {recipe.epochs}. {after_epoch(average)}", flush=True)
    return average.eval()


def schedule(progress: float, warmup_share: float) -> float:
    """Give the learning rate's factor at a share of the training: linear warm-up, then half a cosine to 0."""
    if progress < warmup_share:
        return max(progress / warmup_share, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup_share) / (1 - warmup_share)))
