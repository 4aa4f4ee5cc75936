"""A loop that saves checkpoints, is stopped half-way, and goes on in the same run folder.

    python examples/resume.py

It leaves runs/resume, which `noise-lens report` draws. Lines of noise-lens are marked.
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


def train(epochs, saved=None):
    """Train the given epochs from a checkpoint, and return the next checkpoint."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(digits(), batch_size=32, shuffle=True)
    lens = nl.NoiseLens(  # <- noise-lens
        model, optimizer, loss=loss_of, data=loader, out="runs/resume"
    )
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        lens.load_state_dict(saved["lens"])  # <- noise-lens
    with lens:  # <- noise-lens
        for epoch in epochs:
            for batch in loader:
                optimizer.zero_grad()
                loss = loss_of(model, batch)
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}: loss {loss.item():.3f}")
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            saved["lens"] = lens.state_dict()  # <- noise-lens
    return saved


def main():
    half = train(range(3))
    train(range(3, 6), half)


if __name__ == "__main__":
    main()
