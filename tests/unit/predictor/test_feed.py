import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.engine.feed import GRID_MULTIPLE, INPUTS, TILE, packed_feed, rounded


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_every_text_sees_itself_in_the_grid_and_nothing_else(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [rng.integers(5, 99, length, dtype=np.int32) for length in lengths]
    feed = packed_feed(texts)
    columns = feed["grid"].shape[1]
    on_grid = feed["input_ids"][feed["grid"]]
    start = 0
    for number, text in enumerate(texts):
        span = slice(start, start + len(text))
        np.testing.assert_array_equal(feed["input_ids"][span], text)
        np.testing.assert_array_equal(feed["positions"][span], np.arange(len(text)))
        row, begin = divmod(int(feed["cells"][start]), columns)
        assert begin % (GRID_MULTIPLE if len(text) <= GRID_MULTIPLE else TILE) == 0
        np.testing.assert_array_equal(feed["cells"][span], row * columns + begin + np.arange(len(text)))
        np.testing.assert_array_equal(on_grid[row, begin : begin + len(text)], text)
        own = np.full(columns, -np.inf)
        own[begin : begin + len(text)] = 0
        for cell in range(begin, begin + len(text)):
            np.testing.assert_array_equal(feed["mask"][row, 0, cell], own)
        assert feed["first"][number] == start
        place = np.unravel_index(feed["first_cells"][number], feed["first_grid"].shape)
        assert (feed["first_grid"][place], place[0]) == (number, row)
        np.testing.assert_array_equal(feed["first_mask"][row, 0, place[1]], own)
        start += len(text)


@given(count=st.integers(1, 300), length=st.integers(1, 20))
def test_what_only_fills_up_is_defined_and_little(count: int, length: int) -> None:
    feed = packed_feed([np.ones(length, np.int32)] * count)
    rows, columns = feed["grid"].shape
    assert columns % GRID_MULTIPLE == 0
    assert columns >= TILE
    assert feed["mask"].shape == (rows, 1, columns, columns)
    assert feed["first_mask"].shape == (rows, 1, columns // GRID_MULTIPLE, columns)
    assert len(feed["first"]) == len(feed["first_cells"]) == rounded(count)
    assert len(feed["input_ids"]) == len(feed["positions"]) == len(feed["cells"]) == rounded(count * length)
    # A row without any open column would make its softmax, and whatever is computed beside it, undefined.
    assert (feed["mask"] == 0).any(axis=-1).all()
    assert (feed["first_mask"] == 0).any(axis=-1).all()
    assert feed["cells"].max() < feed["grid"].size
    assert feed["grid"].max() < len(feed["input_ids"])
    assert feed["first_grid"].max() < len(feed["first"])
    assert feed["first_cells"].max() < feed["first_grid"].size


@given(size=st.integers(1, 100_000))
def test_sizes_are_rounded_up_a_little_to_few_values(size: int) -> None:
    assert 0 <= rounded(size) - size <= size // 16
    assert rounded(rounded(size)) == rounded(size)


def test_few_sizes_cover_the_first_thousand_tokens() -> None:
    assert len({rounded(size) for size in range(1, 1025)}) == 112


@pytest.mark.parametrize("length", [1, 16, 17, 512])
def test_feed_has_the_dtypes_of_the_graph(length: int) -> None:
    feed = packed_feed([np.ones(length, np.int32)])
    kinds = {name: str(array.dtype) for name, array in feed.items()}
    assert set(kinds) == set(INPUTS)
    assert all(kind == ("float32" if name.endswith("mask") else "int32") for name, kind in kinds.items())
