from hypothesis import given
from hypothesis import strategies as st

from predictor.packing import divide

lengths = st.lists(st.integers(1, 512), max_size=200)


def test_texts_of_one_length_stay_together() -> None:
    assert divide([16] * 50, power=2, allowance=0) == [list(range(50))]


def test_a_long_text_does_not_widen_the_grid_of_short_ones() -> None:
    assert divide([16, 512, 16], power=2, allowance=1000) == [[1], [0, 2]]


def test_a_small_difference_is_not_worth_another_forward() -> None:
    assert divide([16, 32, 16], power=2, allowance=2000) == [[1, 0, 2]]


@given(lengths=lengths, power=st.sampled_from([1, 2]), allowance=st.integers(0, 500_000))
def test_every_text_is_in_one_group_and_no_group_wastes_more_than_allowed(
    lengths: list[int], power: int, allowance: int
) -> None:
    groups = divide(lengths, power=power, allowance=allowance)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        widest = max(lengths[index] for index in group) ** power
        assert sum(widest - lengths[index] ** power for index in group) <= allowance
