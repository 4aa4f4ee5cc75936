"""Data parallel training: each rank sees its own gradients, and writes its part of one folder.

    torchrun --nproc-per-node 2 examples/ddp.py

It leaves runs/ddp, which `noise-lens report` draws. Lines of noise-lens are marked.
"""

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import noise_lens as nl  # <- noise-lens


def digits():
    images, labels = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))


def network():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def main():
    distributed.init_process_group("gloo")
    torch.manual_seed(0)
    data = digits()
    sampler = DistributedSampler(data)
    loader = DataLoader(data, batch_size=16, sampler=sampler)
    model = nn.parallel.DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lens = nl.NoiseLens(  # <- noise-lens
        model, optimizer, loss=loss_of, data=loader, out="runs/ddp"
    )
    with lens:  # <- noise-lens
        for epoch in range(6):
            sampler.set_epoch(epoch)
            for batch in loader:
                optimizer.zero_grad()
                loss = loss_of(model, batch)
                loss.backward()
                optimizer.step()
            if distributed.get_rank() == 0:
                print(f"epoch {epoch}: loss {loss.item():.3f}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
