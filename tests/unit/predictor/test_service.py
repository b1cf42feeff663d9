import pytest

from predictor.service import time_left_s


@pytest.mark.parametrize(
    ("stated", "left_s"),
    [
        ([], 10), ([b"2500"], 2.5), ([b"0"], 0), ([b"60000"], 10), ([b"5000", b"200"], 0.2), ([b"200", b"5000"], 0.2),
        ([b"-1"], 10), ([b"1.5"], 10), ([b"soon"], 10), ([b"9" * 5_000], 10), ([b""], 10),
    ],
)  # fmt: skip
def test_the_shortest_time_that_is_a_time_counts(stated: list[bytes], left_s: float) -> None:
    assert time_left_s([(b"x-request-timeout-ms", value) for value in stated], at_most_s=10) == left_s
