"""A LightningModule that does what users' modules do: logs, keeps outputs, counts, averages."""

from __future__ import annotations

import copy
import warnings

import torch
from frameworks import random_states, seed_all
from programs import MODELS, dataset, loss_of
from torch.utils.data import DataLoader

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchmetrics
    from lightning.pytorch import LightningModule, Trainer

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Program(LightningModule):
    def __init__(self, kind="mlp", optimizer=torch.optim.Adam):
        super().__init__()
        self.net = MODELS[kind.removesuffix("-without-dropout")]()
        if kind.endswith("-without-dropout"):
            for module in self.net.modules():
                module.p = 0.0
        self.optimizer_class = optimizer
        self.accuracy = torchmetrics.MeanMetric()
        self.losses, self.calls, self.running = [], 0, torch.zeros(())
        self.batches = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss = loss_of(self, batch)
        self.log("loss", loss, on_step=True, on_epoch=True)
        self.log_dict({"twice": 2 * loss})
        self.accuracy(loss.detach())
        self.losses.append(float(loss.detach()))
        self.batches.append([part.clone() for part in batch])
        self.calls += 1
        self.running.mul_(0.9).add_(0.1 * loss.detach())
        return {"loss": loss, "number": batch_idx}

    def configure_optimizers(self):
        return self.optimizer_class(self.parameters(), lr=1e-2)


def fit(kind="mlp", callback=None, *, module=None, loader=None, ckpt_path=None, **options):
    """Train from the same start; returns the module, the trainer and all state there is."""
    seed_all()
    module = module or Program(kind)
    loader = loader or DataLoader(dataset(kind), batch_size=8, shuffle=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?!NoiseLens)")
        trainer = Trainer(**{**QUIET, **options}, callbacks=callback)
        trainer.fit(module, loader, ckpt_path=ckpt_path)
    state = {
        "weights and buffers": copy.deepcopy(module.state_dict()),
        "optimizer": [copy.deepcopy(o.state_dict()) for o in trainer.optimizers],
        "random": random_states(),
        "losses": list(module.losses),
        "calls": module.calls,
        "running": module.running.clone(),
        "metric": float(module.accuracy.compute()) if module.calls else None,
        "metrics": {name: value.clone() for name, value in trainer.callback_metrics.items()},
    }
    return module, trainer, state
