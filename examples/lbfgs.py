"""L-BFGS evaluates its closure several times a step; each evaluation is a micro-batch.

    python examples/lbfgs.py

It leaves runs/lbfgs, which `noise-lens report` draws. Lines of noise-lens are marked.
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


def main():
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    loader = DataLoader(digits(), batch_size=256, shuffle=True)
    lens = nl.NoiseLens(  # <- noise-lens
        model, optimizer, loss=loss_of, data=loader, out="runs/lbfgs"
    )
    with lens:  # <- noise-lens
        for epoch in range(12):
            for batch in loader:

                def closure(batch=batch):
                    optimizer.zero_grad()
                    loss = loss_of(model, batch)
                    loss.backward()
                    return loss

                loss = optimizer.step(closure)
            print(f"epoch {epoch}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
