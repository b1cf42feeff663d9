"""Hypothesis on everything that takes bytes from a stranger: arbitrary bytes, and near misses of what is right."""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from fuzz.budget import HYPOTHESIS_EXAMPLES
from fuzz.targets import SEEDS, TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_NAMES = st.sampled_from(
    ["text", "instances", "inputs", "name", "shape", "datatype", "data", "parameters", "outputs", "id", "labels",
     "version", "model_version", "binary_data_size", "truncated", "scores", "BYTES", "v1"]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | _NAMES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_NAMES | st.text(), inner, max_size=5),
    max_leaves=12,
)
_ENCODED = _JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
_FLOATS = st.lists(st.floats(width=32), max_size=6).map(lambda values: struct.pack(f"<{len(values)}f", *values))


@st.composite
def _near_miss(draw: Any, seeds: list[bytes]) -> bytes:
    """A right one with a piece cut out, doubled or replaced."""
    seed = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(len(seed), start + 6)))
    return bytes(seed[:start] + draw(st.binary(max_size=6)) + seed[end:])


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_a_promise(name: str) -> None:
    target: Callable[[bytes], Any] = TARGETS[name]

    @settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200) | _ENCODED | _near_miss(SEEDS[name]) | st.binary(max_size=2).flatmap(
        lambda head: _FLOATS.map(lambda floats: head + floats)
    ))  # fmt: skip
    def holds(data: bytes) -> None:
        target(data)

    holds()


@pytest.mark.parametrize("name", TARGETS)
def test_the_right_ones_are_taken(name: str) -> None:
    """The targets are not so strict that nothing passes: their seeds do what they should."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)
