"""Training by the Trainer of Transformers: one callback. Nothing is fetched.

    python examples/transformers_trainer.py

A small GPT-2 with random weights learns the characters of Python's own help. It leaves
runs/transformers_trainer, which `noise-lens report` draws. Lines of noise-lens are
marked.
"""

from pydoc_data.topics import topics

import torch
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments, set_seed

from noise_lens.integrations.transformers import NoiseLensCallback  # <- noise-lens

LENGTH = 32


class Help(Dataset):
    def __init__(self):
        text = "\n".join(topics.values()).encode("ascii", errors="replace")[: 1000 * LENGTH]
        self.tokens = torch.tensor(list(text)).view(-1, LENGTH)

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


def main():
    set_seed(0)
    config = AutoConfig.for_model(
        "gpt2", vocab_size=128, n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    trainer = Trainer(
        AutoModelForCausalLM.from_config(config),
        TrainingArguments(
            output_dir="runs/transformers_trainer-checkpoints",
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            max_steps=150,
            learning_rate=1e-3,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=Help(),
        callbacks=[NoiseLensCallback(out="runs/transformers_trainer")],  # <- noise-lens
    )
    trainer.train()


if __name__ == "__main__":
    main()
