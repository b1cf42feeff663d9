import json
from pathlib import Path

import pytest

from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.errors import CheckpointError


def tokenizer(directory: Path, *, max_length_tokens: int = 16) -> TextTokenizer:
    return TextTokenizer(find_checkpoint(directory), max_length_tokens=max_length_tokens)


def test_ids_are_framed_and_never_padded(small_checkpoint: Path) -> None:
    short, long = tokenizer(small_checkpoint).encode(["film", "a lovely film"])
    assert len(short.ids) == 3
    assert len(long.ids) == 5
    assert (short.ids[0], short.ids[-1]) == (long.ids[0], long.ids[-1]) == (2, 3)
    assert str(short.ids.dtype) == "int32"


def test_truncation_is_reported_and_keeps_the_end_token(small_checkpoint: Path) -> None:
    exact, cut = tokenizer(small_checkpoint).encode(["film " * 14, "film " * 15])
    assert (len(exact.ids), exact.truncated) == (16, False)
    assert (len(cut.ids), cut.truncated) == (16, True)
    assert cut.ids[-1] == 3


def test_text_without_any_token_is_still_two_tokens(small_checkpoint: Path) -> None:
    (empty,) = tokenizer(small_checkpoint).encode([" "])
    assert list(empty.ids) == [2, 3]


def test_padding_and_truncation_in_the_file_do_not_count(checkpoint_copy: Path) -> None:
    path = checkpoint_copy / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    raw["padding"] = {
        "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    path.write_text(json.dumps(raw))
    (text,) = tokenizer(checkpoint_copy).encode(["a lovely film film film"])
    assert len(text.ids) == 7


@pytest.mark.parametrize("lower", [True, False])
def test_a_bare_vocabulary_is_served_with_its_case(checkpoint_copy: Path, lower: bool) -> None:  # noqa: FBT001
    vocabulary = json.loads((checkpoint_copy / "tokenizer.json").read_text())["model"]["vocab"]
    reference = tokenizer(checkpoint_copy)
    (checkpoint_copy / "tokenizer.json").unlink()
    (checkpoint_copy / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    (checkpoint_copy / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    bare = tokenizer(checkpoint_copy)
    assert list(bare.encode(["a lovely film"])[0].ids) == list(reference.encode(["a lovely film"])[0].ids)
    upper = list(bare.encode(["A LOVELY FILM"])[0].ids)
    assert (upper == list(reference.encode(["a lovely film"])[0].ids)) is lower


def test_more_tokens_than_embeddings_are_refused(checkpoint_copy: Path) -> None:
    path = checkpoint_copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 1999}))
    with pytest.raises(CheckpointError, match=r"tokenizer.json knows 2000 tokens, more than the 1999 embeddings"):
        tokenizer(checkpoint_copy)


@pytest.mark.parametrize("content", ["{", "{}", '{"version": "1.0"}'])
def test_a_corrupt_file_is_refused(checkpoint_copy: Path, content: str) -> None:
    (checkpoint_copy / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer.json is corrupt or no tokenizer"):
        tokenizer(checkpoint_copy)


def test_a_tokenizer_without_first_token_is_refused(checkpoint_copy: Path) -> None:
    path = checkpoint_copy / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))
    with pytest.raises(CheckpointError, match=r"adds no \[CLS\] token"):
        tokenizer(checkpoint_copy)
