"""The hooks come in the right order, and cost nothing to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks

from semantic_ids.app.hooks import HOOKS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("hook", "order"),
    [
        ("after_context_created", ["ConfigurationHooks", "TrackingHooks"]),
        (
            "before_pipeline_run",
            [
                "LogHooks",
                "SignalHooks",
                "StageHooks",
                "ConfigurationHooks",
                "TrackingHooks",
                "SummaryHooks",
            ],
        ),
        ("after_pipeline_run", ["LogHooks", "TrackingHooks", "SummaryHooks", "SignalHooks"]),
        ("on_pipeline_error", ["LogHooks", "TrackingHooks", "SignalHooks"]),
        ("after_dataset_saved", ["StageHooks", "TrackingHooks", "SummaryHooks"]),
    ],
)
def test_order(hook: str, order: list[str]) -> None:
    manager = _create_hook_manager()
    _register_hooks(manager, HOOKS)
    called = [
        type(implementation.plugin).__name__
        for implementation in reversed(getattr(manager.hook, hook).get_hookimpls())
    ]
    assert [name for name in called if name in order] == order


def test_importing_the_doors_is_cheap() -> None:
    program = """
import sys, semantic_ids.settings, semantic_ids.cli
print(*{"torch", "faiss", "mlflow", "pandas", "sklearn", "scipy"} & sys.modules.keys())
"""
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_dropped_is_heard_before_the_next_node() -> None:
    """Python ignores an exception that is raised in a finaliser.

    There, Ctrl-C would have no effect.
    """
    import signal

    from semantic_ids.app.hooks.signals import SignalHooks

    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    hooks = SignalHooks()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hooks.before_pipeline_run()
    try:
        thing = Finalised()
        del thing
        with pytest.raises(KeyboardInterrupt):
            hooks.before_node_run()
    finally:
        hooks.after_pipeline_run()
        left = signal.signal(signal.SIGINT, before)
    assert left is signal.default_int_handler
