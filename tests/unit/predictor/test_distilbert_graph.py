import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.distilbert_graph import GRID_MULTIPLE, packed_feed, rounded


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_grid_and_cells_are_inverse_and_padding_is_masked(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [rng.integers(5, 99, length, dtype=np.int32) for length in lengths]
    feed = packed_feed(texts)
    tokens = sum(lengths)
    columns = feed["grid"].shape[1]
    assert columns % GRID_MULTIPLE == 0
    assert 0 <= columns - max(lengths) < GRID_MULTIPLE
    on_grid = feed["input_ids"][feed["grid"]]
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(on_grid[row, : len(text)], text)
        np.testing.assert_array_equal(feed["positions"][feed["grid"][row, : len(text)]], np.arange(len(text)))
        np.testing.assert_array_equal(feed["mask"][row, 0, 0, : len(text)], 0)
        assert np.isneginf(feed["mask"][row, 0, 0, len(text) :]).all()
        assert feed["input_ids"][feed["first"][row]] == text[0]
    np.testing.assert_array_equal(on_grid.reshape(-1)[feed["cells"][:tokens]], feed["input_ids"][:tokens])


@given(count=st.integers(1, 300), length=st.integers(1, 20))
def test_rows_that_fill_up_are_defined_and_few(count: int, length: int) -> None:
    feed = packed_feed([np.ones(length, np.int32)] * count)
    rows = len(feed["first"])
    assert rows == (count if count < 8 else rounded(count))
    assert feed["grid"].shape[0] == feed["mask"].shape[0] == rows
    assert len(feed["input_ids"]) == len(feed["positions"]) == len(feed["cells"]) == rounded(count * length)
    # A row without any open column would make its softmax, and whatever is computed beside it, undefined.
    assert (feed["mask"][:, 0, 0, 0] == 0).all()
    assert feed["cells"].max() < feed["grid"].size
    assert feed["grid"].max() < len(feed["input_ids"])


@given(size=st.integers(1, 100_000))
def test_sizes_are_rounded_up_a_little_to_few_values(size: int) -> None:
    assert 0 <= rounded(size) - size <= max(7, size // 16)
    assert rounded(rounded(size)) == rounded(size)


def test_sixty_four_sizes_cover_the_first_thousand_tokens() -> None:
    assert len({rounded(size) for size in range(1, 1025)}) == 64


@pytest.mark.parametrize("length", [1, 16, 17, 512])
def test_feed_has_the_dtypes_of_the_graph(length: int) -> None:
    feed = packed_feed([np.ones(length, np.int32)])
    kinds = {name: str(array.dtype) for name, array in feed.items()}
    assert kinds.pop("mask") == "float32"
    assert set(kinds.values()) == {"int32"}
