"""What happens around a run, in this order.

Check the configuration, open the log, track in MLflow, time the stages, sum up.

This module is imported by every Kedro command, so it imports neither MLflow nor anything else that
is slow.
"""

from __future__ import annotations

from semantic_ids.app.hooks.configuration import ConfigurationHooks
from semantic_ids.app.hooks.lock import LockHooks
from semantic_ids.app.hooks.logs import LogHooks
from semantic_ids.app.hooks.signals import SignalHooks
from semantic_ids.app.hooks.stages import StageHooks
from semantic_ids.app.hooks.summary import SummaryHooks
from semantic_ids.app.hooks.torchrun import TorchrunHooks
from semantic_ids.app.hooks.tracking import TrackingHooks

_configuration = ConfigurationHooks()
_logs = LogHooks(_configuration)
_stages = StageHooks()

# Kedro calls the last one first, except that wrappers (the log) come before and after all others,
# and `tryfirst` and `trylast` are obeyed.
HOOKS = (
    LockHooks(_configuration),
    SummaryHooks(_logs, _stages),
    TrackingHooks(_configuration, _stages),
    _stages,
    _logs,
    SignalHooks(),
    TorchrunHooks(_configuration),
    _configuration,
)
