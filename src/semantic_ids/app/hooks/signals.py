"""SIGTERM ends a run like an exit: clean-ups happen, MLflow is told, and the exit code is 143.

Ctrl-C is not lost.

Python drops a `KeyboardInterrupt` that is raised in a clean-up callback. So an interrupt is also
remembered, and raised again before the next node.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from kedro.framework.hooks import hook_impl


class SignalHooks:
    """Turn SIGTERM into `SystemExit(143)` while a pipeline runs.

    Handlers that others have set are left alone.
    """

    _interrupted = False

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Install the handlers; Python allows it in the main thread only."""
        self._interrupted = False
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _exit)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)

    @hook_impl(tryfirst=True)
    def before_node_run(self) -> None:
        """Hear an interrupt that was dropped."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGTERM) is _exit:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if signal.getsignal(signal.SIGINT) == self._interrupt:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Put the defaults back."""
        self._restore()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Put the defaults back."""
        self._restore()


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
