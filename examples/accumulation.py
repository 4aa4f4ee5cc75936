"""Gradient accumulation: the lens is told what the loss is divided by.

    python examples/accumulation.py

It leaves runs/accumulation, which `noise-lens report` draws. Lines of noise-lens are marked.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import noise_lens as nl  # <- noise-lens


def digits():
    images, labels = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))


def network():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


ACCUMULATE = 4


def main():
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(digits(), batch_size=8, shuffle=True)
    lens = nl.NoiseLens(  # <- noise-lens
        model,
        optimizer,
        loss=loss_of,
        data=loader,
        loss_divisor=ACCUMULATE,
        out="runs/accumulation",
    )
    with lens:  # <- noise-lens
        for epoch in range(4):
            for number, batch in enumerate(loader, start=1):
                loss = loss_of(model, batch)
                (loss / ACCUMULATE).backward()
                if number % ACCUMULATE == 0:
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
            print(f"epoch {epoch}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
