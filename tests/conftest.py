"""Settings that must be in place before a backend is imported."""

import gc
import os
import signal
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# Two test processes share the cores: one thread each is faster than two that wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

# What a shell starts in the background has it ignored, and tests that stop a run would not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Compilation inside a test makes single examples slow, which says nothing about the property.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


# Tests, or files, where most of the time goes to what their tests share.
LONGEST = (
    "test_readme.py::test_every_command_runs",
    "test_reproduce.py::test_smoke",
    "test_training.py::test_a_killed_run",
    "test_backend_parity.py::test_a_run_goes_to_and_fro",
    "test_backend_parity.py::test_tensorflow_and_jax_agree",
    "test_scaling.py::test_two_",
    "test_figures.py",
    "test_demo.py",
    "test_studio",
)


def pytest_collection_modifyitems(items):
    """The longest first: begun last, one would keep one process busy and the others waiting."""

    def place(item):
        found = (i for i, name in enumerate(LONGEST) if f"/{name}" in f"/{item.nodeid}")
        return next(found, len(LONGEST))

    items.sort(key=place)


def pytest_collection_finish():
    """What is imported by now stays: the garbage collector need not go through TensorFlow again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Of a studio with a tiny model of stage two."""
    place = tmp_path_factory.mktemp("studio")
    from test_loading import export, fit_whole

    from csi_tf import loading
    from csi_tf.studio.serve import serving
    from csi_tf.studio.settings import Studio

    export(place / loading.MODEL_FILE, stage="stage2")
    fit_whole(place)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Studio(model=str(place / loading.MODEL_FILE), port=port)
    with serving(settings, tmp_path_factory.mktemp("files")) as url:
        yield url


@pytest.fixture
def eagerly():
    """For tests to which training is a means: that steps compile is tested by those without."""
    import tiny

    with tiny.eagerly():
        yield


@pytest.fixture(scope="module")
def browser():
    from browsing import chromium

    with chromium() as opened:
        yield opened
