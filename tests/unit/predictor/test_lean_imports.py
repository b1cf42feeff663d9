import subprocess
import sys

from support.processes import REPO


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_sdk_server_loads_without_pandas_and_kubernetes() -> None:
    code = (
        "from predictor.lean_imports import import_sdk_leanly; import sys; sys.argv = ['x']; import_sdk_leanly();"
        "from kserve.model_server import ModelServer; from kserve.model import Model;"
        "print([name for name in ('pandas', 'kubernetes') if name in sys.modules])"
    )
    assert run(code) == "[]"


def test_pandas_is_the_real_one_afterwards() -> None:
    code = (
        "from predictor.lean_imports import import_sdk_leanly; import sys; sys.argv = ['x']; import_sdk_leanly();"
        "from kserve.protocol.infer_type import InferInput, InferRequest;"
        "tensor = InferInput(name='n', shape=[2], datatype='INT32', data=[1, 2]);"
        "frame = InferRequest(model_name='m', infer_inputs=[tensor]).as_dataframe();"
        "import pandas; print(list(frame['n']), type(frame) is pandas.DataFrame)"
    )
    assert run(code) == "[1, 2] True"


def test_a_loaded_sdk_is_left_alone() -> None:
    code = (
        "import sys; sys.argv = ['x']; import kserve; before = sys.modules['kserve'];"
        "from predictor.lean_imports import import_sdk_leanly; import_sdk_leanly();"
        "print(sys.modules['kserve'] is before, hasattr(kserve, 'InferRequest'))"
    )
    assert run(code) == "True True"


def test_the_predictor_serves_without_torch_and_transformers() -> None:
    code = (
        "from predictor.lean_imports import import_sdk_leanly; import sys; sys.argv = ['x']; import_sdk_leanly();"
        "import predictor.server, predictor.engine.openvino_engine;"
        "print([n for n in ('torch', 'transformers', 'pandas', 'kubernetes', 'onnxruntime') if n in sys.modules])"
    )
    assert run(code) == "[]"
