from hypothesis import given
from hypothesis import strategies as st

from predictor.engine.packing import attention_cost, divide, side_by_side

lengths = st.lists(st.integers(1, 512), max_size=200)
slots = st.lists(st.integers(1, 32).map(lambda n: 16 * n), min_size=1, max_size=60)


def padded(longest: int, _total: int, texts: int) -> int:
    """Cost where every text is filled up to the longest."""
    return longest * texts


def test_texts_of_one_length_stay_together() -> None:
    assert divide([16] * 50, cost=padded, forward=0) == [list(range(50))]


def test_a_long_text_does_not_widen_the_rows_of_short_ones() -> None:
    assert divide([16, 512, 16], cost=padded, forward=900) == [[1], [0, 2]]


def test_a_small_difference_is_not_worth_another_forward() -> None:
    assert divide([16, 32, 16], cost=padded, forward=32) == [[1, 0, 2]]


def test_texts_of_three_kinds_go_into_three_forwards() -> None:
    assert divide([9, 100, 500, 10, 101], cost=padded, forward=50) == [[2], [4, 1], [3, 0]]


@given(lengths=lengths, forward=st.integers(0, 5_000))
def test_every_text_is_in_one_group_and_no_group_costs_less_divided(lengths: list[int], forward: int) -> None:
    groups = divide(lengths, cost=padded, forward=forward)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest_first = [lengths[index] for index in group]
        assert longest_first == sorted(longest_first, reverse=True)
        for place in range(1, len(group)):
            apart = longest_first[0] * place + longest_first[place] * (len(group) - place) + forward
            assert apart >= longest_first[0] * len(group)


def test_short_texts_share_a_row_of_a_long_one() -> None:
    assert side_by_side([16, 64, 32, 16], step=16, least=16, most=512, move=0) == (64, [[1], [2, 0, 3]])


def test_a_lone_text_has_a_row_of_its_own_width() -> None:
    assert side_by_side([48], step=16, least=16, most=512, move=150) == (48, [[0]])


def test_no_row_is_narrower_than_the_least() -> None:
    assert side_by_side([16], step=16, least=32, most=512, move=150) == (32, [[0]])
    assert side_by_side([16, 16, 16], step=16, least=32, most=512, move=0) == (32, [[0, 1], [2]])


def test_a_wider_row_is_taken_where_it_saves_cells() -> None:
    assert side_by_side([48, 32, 48, 32], step=16, least=16, most=512, move=10_000) == (80, [[0, 1], [2, 3]])


def test_rows_beyond_the_most_are_not_shared() -> None:
    assert side_by_side([16, 528, 16], step=16, least=16, most=512, move=0) == (528, [[1], [0], [2]])
    assert side_by_side([512, 496, 16], step=16, least=16, most=512, move=10_000) == (512, [[0], [1, 2]])


@given(slots=slots, move=st.integers(0, 1000))
def test_every_text_has_room_of_its_own_and_sharing_never_costs_more(slots: list[int], move: int) -> None:
    width, rows = side_by_side(slots, step=16, least=16, most=512, move=move)
    assert width % 16 == 0
    assert sorted(index for row in rows for index in row) == list(range(len(slots)))
    assert all(sum(slots[index] for index in row) <= width for row in rows)
    alone = attention_cost(max(slots), len(slots) * max(slots), move)
    assert attention_cost(width, len(rows) * width, move) <= alone
