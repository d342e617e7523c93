import subprocess
import sys
from pathlib import Path


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    said = _load_in_a_fresh_process(tmp_path, "preload.load(['broken_module'])\n")
    assert "'broken_module' of --preload cannot be imported (division by zero)" in said


def test_a_module_that_starts_tensorflow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "eager_module.py").write_text("import tensorflow\ntensorflow.zeros(1)\n")
    said = _load_in_a_fresh_process(
        tmp_path,
        "preload.load(['tensorflow', 'keras'])\n"
        "assert not preload.tensorflow_started()\n"
        "preload.load(['eager_module'])\n",
    )
    assert "'eager_module' of --preload starts TensorFlow's runtime" in said


def _load_in_a_fresh_process(modules: Path, code: str) -> str:
    """Run code in which TensorFlow has not started, as it may have in this process."""
    script = (
        f"import sys\nsys.path.insert(0, {str(modules)!r})\n"
        f"from fedstate.forking import preload\n{code}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    return done.stderr
