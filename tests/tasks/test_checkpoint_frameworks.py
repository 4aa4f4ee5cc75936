"""Checkpoints as transformers, Lightning and accelerate write them; models are random and tiny."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noise_lens import CheckpointError
from noise_lens.tasks import load_checkpoint
from noise_lens.tasks.checkpoint.files import open_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SIZES = {
    "gpt2": {"n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 16, "n_positions": 8},
    "bert": {
        "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2,
        "intermediate_size": 8, "vocab_size": 16, "max_position_embeddings": 8,
    },
}  # fmt: skip


def configured(kind, **options):
    transformers = pytest.importorskip("transformers")
    return transformers, transformers.AutoConfig.for_model(kind, **SIZES[kind], **options)


def equal(one, two):
    one, two = one.state_dict(), two.state_dict()
    return set(one) == set(two) and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("shard", ["5GB", "2KB"])
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_save_pretrained(kind, shard, tmp_path):
    """Tied heads are left out of these files."""
    transformers, config = configured(kind)
    auto = {"gpt2": "AutoModelForCausalLM", "bert": "AutoModelForMaskedLM"}[kind]
    saved, fresh = (getattr(transformers, auto).from_config(config) for _ in range(2))
    saved.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "2KB")
    assert not equal(saved, fresh)
    load_checkpoint(fresh, tmp_path)
    assert equal(saved, fresh)


def test_body_and_head(tmp_path):
    """A file with a head gives a body its weights; a body's file gives a tied head its own."""
    transformers, config = configured("gpt2")
    whole = transformers.GPT2LMHeadModel(config)
    whole.save_pretrained(tmp_path / "whole")
    body = transformers.GPT2Model(config)
    load_checkpoint(body, tmp_path / "whole")
    assert equal(body, whole.transformer)
    body.save_pretrained(tmp_path / "body")
    again = transformers.GPT2LMHeadModel(config)
    load_checkpoint(again, tmp_path / "body")
    assert equal(again, whole)
    classifier = transformers.GPT2ForSequenceClassification(config)
    with pytest.raises(CheckpointError, match=r"missing: score\.weight"):
        load_checkpoint(classifier, tmp_path / "body")


def test_a_pickle_of_transformers(tmp_path):
    transformers, config = configured("gpt2")
    saved, fresh = (transformers.GPT2LMHeadModel(config) for _ in range(2))
    torch.save(saved.state_dict(), tmp_path / "pytorch_model.bin")
    load_checkpoint(fresh, tmp_path)
    assert equal(saved, fresh)


def test_another_size_is_refused(tmp_path):
    transformers, config = configured("gpt2")
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    config.n_embd = 12
    with pytest.raises(CheckpointError, match=r"of another shape: transformer.wte.weight"):
        load_checkpoint(transformers.GPT2LMHeadModel(config), tmp_path)


def test_a_trainer_of_transformers(tmp_path):
    transformers, config = configured("gpt2")
    tokens = torch.randint(16, (32, 8))
    model = transformers.GPT2LMHeadModel(config)
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=4, save_steps=2, report_to=[], use_cpu=True,
            disable_tqdm=True, save_strategy="steps", per_device_train_batch_size=4,
        ),
        train_dataset=[{"input_ids": row, "labels": row} for row in tokens],
    )  # fmt: skip
    trainer.train()
    fresh = transformers.GPT2LMHeadModel(config)
    load_checkpoint(fresh, tmp_path / "checkpoint-4")
    assert equal(fresh, model)
    assert [open_checkpoint(tmp_path / f"checkpoint-{n}").step for n in (2, 4)] == [2, 4]


def lightning_module(lightning):
    class Module(lightning.LightningModule):
        def __init__(self, hidden):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))
            self.criterion = nn.CrossEntropyLoss(weight=torch.ones(2))

        def training_step(self, batch, index):
            return self.criterion(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    return Module(5)


def test_a_lightning_checkpoint(tmp_path):
    lightning = pytest.importorskip("lightning")
    module = lightning_module(lightning)
    data = torch.utils.data.TensorDataset(torch.randn(12, 4), torch.randint(2, (12,)))
    trainer = lightning.Trainer(
        max_steps=3, accelerator="cpu", devices=1, logger=False, default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    fresh = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    load_checkpoint(fresh, tmp_path / "last.ckpt")
    assert equal(fresh, module.net)
    assert open_checkpoint(tmp_path / "last.ckpt").step == 3
    with pytest.raises(CheckpointError, match=r"of another shape: 0.weight \(5, 4\) for \(6, 4\)"):
        load_checkpoint(
            nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), tmp_path / "last.ckpt"
        )


def test_a_state_of_accelerate(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = nn.Linear(3, 2)
    model, _ = accelerator.prepare(model, torch.optim.Adam(model.parameters()))
    accelerator.save_state(str(tmp_path / "state"))
    fresh = nn.Linear(3, 2)
    load_checkpoint(fresh, tmp_path / "state")
    assert equal(fresh, accelerator.unwrap_model(model))
