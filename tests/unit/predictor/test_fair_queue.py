from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from predictor.batching.fair_queue import FairQueue

Request = tuple[str, list[int]]


def push(queue: FairQueue[tuple[str, int]], name: str, tokens: list[int]) -> None:
    queue.push([((name, index), count) for index, count in enumerate(tokens)])


def drain(queue: FairQueue[tuple[str, int]], budget: int) -> list[list[tuple[str, int]]]:
    batches = []
    while queue:
        batches.append([ticket.item for ticket in queue.pop(budget_tokens=budget)])
    return batches


def test_small_requests_are_served_first_come_first_served_and_whole() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=100)
    push(queue, "a", [10, 10])
    push(queue, "b", [10, 10])
    assert drain(queue, 30) == [[("a", 0), ("a", 1), ("b", 0)], [("b", 1)]]


def test_a_single_text_waits_for_one_quantum_of_a_large_request_only() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=50)
    push(queue, "large", [10] * 128)
    first = queue.pop(budget_tokens=30)
    assert len(first) == 3
    push(queue, "single", [10])
    # Two texts are left of the large request's first quantum; the single one is next.
    assert [t.item for t in queue.pop(budget_tokens=30)] == [("large", 3), ("large", 4), ("single", 0)]


def test_a_large_request_is_not_starved_by_a_stream_of_small_ones() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=20)
    push(queue, "large", [10] * 10)
    served = []
    for index in range(40):
        push(queue, f"small{index}", [10])
        served += [ticket.item for ticket in queue.pop(budget_tokens=20)]
    assert sum(name == "large" for name, _ in served) == 10
    # It gets at least every other place while it competes.
    assert served.index(("large", 9)) <= 30


def test_an_item_larger_than_the_budget_goes_alone() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=10)
    push(queue, "a", [500])
    push(queue, "b", [5])
    assert drain(queue, 100) == [[("a", 0)], [("b", 0)]]


def test_discarded_items_leave_at_once() -> None:
    queue: FairQueue[str] = FairQueue(quantum_tokens=10)
    first = queue.push([("a", 5), ("b", 5), ("c", 5)])
    queue.push([("d", 7)])
    queue.discard(first[1:])
    queue.discard(first[1:])
    assert queue.tokens == 12
    assert queue.tokens_before(1) == 12
    assert [ticket.item for ticket in queue.pop(budget_tokens=100)] == ["a", "d"]
    queue.discard(first)
    assert queue.tokens == 0
    assert not queue
    assert queue.tokens_before(1000) == 0


def test_tokens_before_counts_only_what_is_served_first() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=50)
    push(queue, "large", [10] * 20)
    assert queue.tokens_before(10) == 50
    assert queue.tokens_before(100) == 100
    assert queue.tokens_before(1000) == 200


requests = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), min_size=1, max_size=12)


@given(requests=requests, budget=st.integers(1, 120), quantum=st.integers(1, 60))
def test_every_item_is_served_once_within_the_budget_and_in_its_request_order(
    requests: list[list[int]], budget: int, quantum: int
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=quantum)
    for number, tokens in enumerate(requests):
        push(queue, str(number), tokens)
    assert queue.tokens == sum(map(sum, requests))
    order = defaultdict(list)
    for batch in drain(queue, budget):
        cost = sum(requests[int(name)][index] for name, index in batch)
        assert cost <= budget or len(batch) == 1
        for name, index in batch:
            order[name].append(index)
    assert order == {str(number): list(range(len(tokens))) for number, tokens in enumerate(requests)}


@given(requests=requests, single=st.integers(1, 20), quantum=st.integers(20, 60))
def test_a_newcomer_waits_at_most_a_quantum_and_a_text_per_waiting_request(
    requests: list[list[int]], single: int, quantum: int
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(quantum_tokens=quantum)
    for number, tokens in enumerate(requests):
        push(queue, str(number), tokens)
    queue.pop(budget_tokens=40)
    push(queue, "new", [single])
    before = 0
    while True:
        (ticket,) = queue.pop(budget_tokens=1)
        if ticket.item[0] == "new":
            break
        before += ticket.tokens
    assert before <= len(requests) * (quantum + 60)
