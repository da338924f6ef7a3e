"""The smallest task: a linear regression in plain torch, which knows nothing of this project."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from semantic_ids.learning.optimizers import Part
from semantic_ids.learning.task import Held, Outcome

N, D = 150, 5


def data(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((N, D), generator=generator)
    y = x @ torch.arange(1.0, D + 1) + 0.3 * torch.randn(N, generator=generator)
    return x, y


def module() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(D, 4), nn.Dropout(0.2), nn.Linear(4, 1))


class Regression:
    """Squared error of a linear network with dropout."""

    name, losses, finish, has_unused, phase = "regression", ("error",), 0, False, "train"

    def __init__(self, *, scores=None, dropout: bool = True) -> None:
        self.module = module()
        if not dropout:
            self.module[1] = nn.Identity()
        self.x, self.y = data()
        self.data = Held(self.x[:120], self.y[:120])
        self.scores = scores
        self.calls: list = []

    def parts(self):
        return [
            Part([*self.module[0].parameters()], 0.5, 0.01),
            Part([*self.module[2].parameters()]),
        ]

    def start(self, epoch):
        self.calls.append(("start", epoch))
        return epoch == 1

    def begin(self, epoch, seed):
        self.calls.append(("begin", epoch))

    def step(self, model, positions, batch, progress):
        x, y = batch
        assert torch.equal(x, self.x[torch.from_numpy(positions)])
        error = ((model(x)[:, 0] - y) ** 2).sum()
        return error, error.detach().double()[None]

    def summary(self, means):
        return {"loss": means["error"]}

    def validate(self, epoch):
        self.calls.append(("validate", epoch))
        assert not self.module.training and not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        error = float(((self.module(self.x[120:])[:, 0] - self.y[120:]) ** 2).mean())
        score = error if self.scores is None else self.scores[epoch]
        return Outcome({"validation_error": error}, score)

    def finished(self):
        self.calls.append(("finished", None))

    def state(self):
        return {"begun": sum(name == "begin" for name, _ in self.calls)}

    def load_state(self, state):
        self.calls += [("begin", None)] * state["begun"]

    def describe(self, row):
        return f"validation error {row['validation_error']:.3g}"


def weights(task: Regression) -> bytes:
    return (
        b"".join(tensor.numpy().tobytes() for tensor in task.module.state_dict().values())
        + np.float64(0).tobytes()
    )
