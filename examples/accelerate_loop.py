"""A loop under Accelerate: give the lens what `prepare` returned.

    python examples/accelerate_loop.py

It leaves runs/accelerate_loop, which `noise-lens report` draws. Lines of noise-lens are marked.
"""

import torch
from accelerate import Accelerator
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
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(digits(), batch_size=16, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    lens = nl.NoiseLens(  # <- noise-lens
        model, optimizer, loss=loss_of, data=loader, loss_divisor=2, out="runs/accelerate_loop"
    )
    with lens:  # <- noise-lens
        for epoch in range(6):
            for batch in loader:
                with accelerator.accumulate(model):
                    loss = loss_of(model, batch)
                    accelerator.backward(loss)
                    optimizer.step()
                    optimizer.zero_grad()
            print(f"epoch {epoch}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
