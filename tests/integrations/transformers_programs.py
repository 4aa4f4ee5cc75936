"""A tiny GPT-2 with random weights under the Trainer; nothing is fetched."""

from __future__ import annotations

import copy
import warnings

import torch
from frameworks import random_states, seed_all
from torch.utils.data import Dataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments


class Tokens(Dataset):
    """52 sequences of 12 tokens; some labels are left out where `ragged`."""

    def __init__(self, *, ragged=False):
        generator = torch.Generator().manual_seed(5)
        self.tokens = torch.randint(0, 31, (52, 12), generator=generator)
        self.labels = self.tokens.clone()
        if ragged:
            self.labels[torch.rand(52, 12, generator=generator) < 0.4] = -100

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return {"input_ids": self.tokens[index], "labels": self.labels[index]}


def gpt2(dropout=0.1):
    seed_all()
    config = AutoConfig.for_model(
        "gpt2", vocab_size=31, n_positions=16, n_embd=16, n_layer=2, n_head=2,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


def llama():
    """A model of which the Trainer counts as many tokens as its loss has: GPT-2 has one fewer."""
    seed_all()
    config = AutoConfig.for_model(
        "llama", vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


class Plain(torch.nn.Module):
    """A model that is no PreTrainedModel: its forward takes no num_items_in_batch."""

    def __init__(self):
        super().__init__()
        seed_all()
        self.net = torch.nn.Sequential(
            torch.nn.Embedding(31, 8), torch.nn.Flatten(), torch.nn.Linear(96, 31)
        )

    def forward(self, input_ids, labels):
        loss = torch.nn.functional.cross_entropy(self.net(input_ids), labels[:, 0])
        return {"loss": loss}


def arguments(folder, **options):
    defaults = {
        "per_device_train_batch_size": 4, "learning_rate": 1e-2, "max_grad_norm": 1.0,
        "lr_scheduler_type": "constant", "report_to": [], "use_cpu": True, "disable_tqdm": True,
        "save_strategy": "no", "logging_strategy": "no", "seed": 7,
    }  # fmt: skip
    return TrainingArguments(output_dir=str(folder), **{**defaults, **options})


class Recording(Trainer):
    """Keeps the micro-batches that training used, and what their losses were divided by."""

    def training_step(self, model, inputs, *rest, **options):
        self.__dict__.setdefault("micro_batches", []).append(
            {name: value.clone() for name, value in inputs.items()}
        )
        lenses = [c.lens for c in self.callback_handler.callbacks if hasattr(c, "lens")]
        lens = lenses[0] if lenses else None
        divisors = (self.current_gradient_accumulation_steps, lens and lens.loss_divisor)
        self.__dict__.setdefault("divisors", []).append(divisors)
        return super().training_step(model, inputs, *rest, **options)


def train(folder, model=None, callback=None, *, data=None, resume=None, given=None, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?!NoiseLens)")
        trainer = Recording(
            model or gpt2(), arguments(folder, **options), train_dataset=data or Tokens(),
            callbacks=[callback] if callback else [], **(given or {}),
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
    state = {
        "weights and buffers": copy.deepcopy(trainer.model.state_dict()),
        "optimizer": copy.deepcopy(trainer.optimizer.state_dict()),
        "random": random_states(),
    }
    return trainer, state
