"""The pieces of the training: made-up texts, batches, the learning rate, what is dropped."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from model.artifact_scripts import ARTIFACTS, sample_rows

CLS, SEP, MASK = 2, 3, 4


@pytest.fixture(scope="module")
def parts() -> Iterator[SimpleNamespace]:
    sys.path.insert(0, str(ARTIFACTS))
    try:
        from training import corpus, fitting, rows, vocabulary  # noqa: PLC0415 - a folder with a dash is no package

        yield SimpleNamespace(corpus=corpus, fitting=fitting, rows=rows, vocabulary=vocabulary)
    finally:
        sys.path.remove(str(ARTIFACTS))


@pytest.fixture(scope="module")
def rows(parts: SimpleNamespace) -> list[Any]:
    return [parts.rows.Row(label, text) for label, text in sample_rows()]


@pytest.fixture
def composer(parts: SimpleNamespace, rows: list[Any]) -> Any:
    tokenizer = parts.vocabulary.learn_vocabulary([row.text for row in rows], 400)
    rng = np.random.default_rng(5)
    return parts.corpus.Composer(tokenizer=tokenizer, rows=rows, longest_tokens=512, rng=rng)


def test_long_texts_reach_the_last_position_and_no_further(composer: Any) -> None:
    long = composer.lengthen(60, shortest_tokens=64)
    lengths = [len(each) for each in long.ids]
    assert max(lengths) > 480
    assert min(lengths) >= 64
    assert max(lengths) <= 512
    assert all(each[0] == CLS and each[-1] == SEP for each in long.ids)


def test_long_texts_are_of_one_polarity(parts: SimpleNamespace) -> None:
    tokenizer = parts.vocabulary.learn_vocabulary(["good fine", "bad dull"] * 2, 100)
    clear = [parts.rows.Row(1, "good fine"), parts.rows.Row(0, "bad dull")]
    rng = np.random.default_rng(0)
    made = parts.corpus.Composer(tokenizer=tokenizer, rows=clear, longest_tokens=64, rng=rng).lengthen(20, 32)
    for ids, target in zip(made.ids, made.targets, strict=True):
        # The last word may be cut.
        words = set(tokenizer.decode(ids.tolist()).split()[:-1])
        assert words <= ({"good", "fine"} if target[1] > 0.5 else {"bad", "dull"})
    assert {int(target.argmax()) for target in made.targets} == {0, 1}


def test_invented_texts_are_spans_with_masked_and_foreign_words(composer: Any) -> None:
    invented = composer.invent(300)
    masked = sum(int((each == MASK).sum()) for each in invented)
    assert 0.03 < masked / sum(map(len, invented)) < 0.12
    assert all(each[0] == CLS and each[-1] == SEP and len(each) >= 3 for each in invented)
    assert len({each.tobytes() for each in invented}) > 280


def test_every_text_is_in_one_batch_and_neighbours_are_alike(parts: SimpleNamespace) -> None:
    lengths = np.random.default_rng(1).integers(3, 500, 700)
    corpus = parts.corpus.Corpus([np.ones(n, dtype=np.int64) for n in lengths], np.zeros((700, 2), np.float32))
    recipe = parts.fitting.Recipe(epochs=1, learning_rate=1, weight_decay=0, word_dropout=0, batch_texts=64)
    found = list(parts.fitting.batches(corpus, recipe, np.random.default_rng(2)))
    assert sorted(np.concatenate(found).tolist()) == list(range(700))
    spread = [int(np.ptp(lengths[each])) for each in found]
    assert max(spread) < 200
    assert all(len(each) * lengths[each].max() <= 2 * recipe.batch_tokens for each in found)


def test_word_dropout_spares_special_tokens_and_padding(parts: SimpleNamespace) -> None:
    ids = torch.tensor([[CLS, 9, 10, SEP, 0]]).repeat(500, 1)
    torch.manual_seed(0)
    dropped = parts.fitting.drop_words(ids, 0.5)
    assert torch.equal(dropped[:, [0, 3, 4]], ids[:, [0, 3, 4]])
    assert 0.4 < float((dropped[:, 1:3] == MASK).float().mean()) < 0.6


def test_the_learning_rate_warms_up_and_ends_at_nothing(parts: SimpleNamespace) -> None:
    rates = [parts.fitting.schedule(progress / 100, 0.05) for progress in range(101)]
    assert max(rates) == rates[5] == 1
    assert rates[:6] == sorted(rates[:6])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[0] > 0
    assert rates[-1] == pytest.approx(0)


def test_contractions_become_what_people_type(parts: SimpleNamespace) -> None:
    assert parts.rows.join_contractions("it 's a film that does n't work") == "it's a film that doesn't work"


def test_an_unknown_tab_or_accent_is_read_like_its_plain_form(parts: SimpleNamespace) -> None:
    tokenizer = parts.vocabulary.learn_vocabulary(["a fiance cries", "a fiance laughs"], 100)
    assert tokenizer.encode("A  fiancé").ids == tokenizer.encode("a fiance").ids
