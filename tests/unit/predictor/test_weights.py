from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from predictor.checkpoint.weights import WeightsFile
from predictor.errors import CheckpointError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    values = np.arange(6, dtype=np.float32).reshape(2, 3) / 8
    save_file({"f32": values, "f16": values.astype(np.float16), "i64": values.astype(np.int64)}, tmp_path / "w")
    return tmp_path / "w"


def test_f32_is_a_view_of_the_file_and_f16_a_converted_copy(path: Path) -> None:
    weights = WeightsFile(path)
    expected = np.arange(6, dtype=np.float32).reshape(2, 3) / 8
    np.testing.assert_array_equal(weights.tensor("f32", shape=(2, 3)), expected)
    np.testing.assert_array_equal(weights.tensor("f16", shape=(2, 3)), expected)
    assert not weights.tensor("f32", shape=(2, 3)).flags.owndata
    assert weights.names == {"f32", "f16", "i64"}


def test_bf16_is_read_exactly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch  # noqa: PLC0415

    values = torch.tensor([1.0, -0.5, 3.140625, 1e-30, 65280.0]).to(torch.bfloat16)
    save_torch({"x": values}, tmp_path / "w")
    read = WeightsFile(tmp_path / "w").tensor("x", shape=(5,))
    np.testing.assert_array_equal(read, values.float().numpy())
    assert read.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("gone", (2, 3), "has no tensor gone"),
        ("f32", (3, 2), r"f32 has shape \[2, 3\], config.json implies \[3, 2\]"),
        ("i64", (2, 3), "i64 is I64, only F32, F16 and BF16 are served"),
    ],
)
def test_a_tensor_other_than_expected_is_refused(path: Path, name: str, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        WeightsFile(path).tensor(name, shape=shape)


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_truncated_file_is_refused(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="w is truncated or no safetensors file"):
        WeightsFile(path)


def test_a_corrupt_file_is_refused(path: Path) -> None:
    path.write_bytes(b"PK" * 500)
    with pytest.raises(CheckpointError, match="w is truncated or no safetensors file"):
        WeightsFile(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none is missing"):
        WeightsFile(tmp_path / "none")
