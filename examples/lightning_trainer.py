"""Training by Lightning: one callback.

    python examples/lightning_trainer.py

It leaves runs/lightning_trainer, which `noise-lens report` draws. Lines of
noise-lens are marked.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from noise_lens.integrations.lightning import NoiseLensCallback  # <- noise-lens


class Digits(LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main():
    seed_everything(0)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    loader = DataLoader(data, batch_size=16, shuffle=True)
    trainer = Trainer(
        max_epochs=6,
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[NoiseLensCallback(out="runs/lightning_trainer")],  # <- noise-lens
    )
    trainer.fit(Digits(), loader)


if __name__ == "__main__":
    main()
