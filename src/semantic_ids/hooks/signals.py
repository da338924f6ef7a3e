"""SIGTERM ends a run like an exit: clean-ups happen, MLflow hears of it, and the exit code is 143."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from kedro.framework.hooks import hook_impl


class SignalHooks:
    """Turn SIGTERM into `SystemExit(143)` while a pipeline runs. Handlers that others have set are left alone."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Install the handler; Python allows it in the main thread only."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _exit)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Put the default back."""
        _restore()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Put the default back."""
        _restore()


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _restore() -> None:
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
