import subprocess
import sys

import pytest
from support.processes import REPO


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_sdk_server_loads_without_pandas_and_kubernetes() -> None:
    code = (
        "from serving.lean_imports import import_sdk_leanly; import sys; sys.argv = ['x']; import_sdk_leanly();"
        "from kserve.model_server import ModelServer; from kserve.model import Model;"
        "print([name for name in ('pandas', 'kubernetes') if name in sys.modules])"
    )
    assert run(code) == "[]"


def test_pandas_is_the_real_one_afterwards() -> None:
    code = (
        "from serving.lean_imports import import_sdk_leanly; import sys; sys.argv = ['x']; import_sdk_leanly();"
        "from kserve.protocol.infer_type import InferInput, InferRequest;"
        "tensor = InferInput(name='n', shape=[2], datatype='INT32', data=[1, 2]);"
        "frame = InferRequest(model_name='m', infer_inputs=[tensor]).as_dataframe();"
        "import pandas; print(list(frame['n']), type(frame) is pandas.DataFrame)"
    )
    assert run(code) == "[1, 2] True"


def test_a_loaded_sdk_is_left_alone() -> None:
    code = (
        "import sys; sys.argv = ['x']; import kserve; before = sys.modules['kserve'];"
        "from serving.lean_imports import import_sdk_leanly; import_sdk_leanly();"
        "print(sys.modules['kserve'] is before, hasattr(kserve, 'InferRequest'))"
    )
    assert run(code) == "True True"


@pytest.mark.parametrize(
    "server",
    ["predictor.server, predictor.engine.openvino_engine", "transformer.server, transformer.cache.redis_client"],
)
def test_a_server_loads_none_of_the_heavy_libraries(server: str) -> None:
    code = (
        "from serving.lean_imports import import_sdk_leanly; import sys; sys.argv = ['x']; import_sdk_leanly();"
        f"import {server};"
        "print([n for n in ('torch', 'transformers', 'pandas', 'kubernetes', 'onnxruntime') if n in sys.modules])"
    )
    assert run(code) == "[]"
