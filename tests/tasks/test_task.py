from __future__ import annotations

import sys
import textwrap

import pytest
import torch
from torch import nn

import noise_lens as nl
from noise_lens.tasks import BUILT_IN, load_task
from noise_lens.tasks.task import parse_task_arguments


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the current folder and forget it afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


GOOD = """
import noise_lens as nl
import torch
from torch import nn
from torch.utils.data import TensorDataset

def make(width=3, name="mine"):
    data = TensorDataset(torch.randn(100, width), torch.randn(100, 1))
    return nl.Task(lambda: nn.Linear(width, 1), lambda m, b: (m(b[0]) - b[1]).square().mean(),
                   data, name=name)

class Inside:
    task = staticmethod(make)
"""


def test_a_task_of_the_current_folder(module):
    module("my_tasks_a", GOOD)
    task = load_task("my_tasks_a:make", {"width": 5})
    assert task.name == "mine"
    assert task.build_model(0).in_features == 5
    assert load_task("my_tasks_a:Inside.task").name == "mine"


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_tasks(name, mnist, cifar10):
    folders = {"mnist": {"data": mnist}, "cifar10": {"data": cifar10}}
    task = load_task(name, folders.get(name.partition("-")[0]))
    assert task.name == name
    loss = task.loss(task.build_model(0), next(iter(torch.utils.data.DataLoader(task.data, 16))))
    assert loss.ndim == 0
    assert torch.isfinite(loss)


def test_sizes_of_the_digits():
    """8970 and 3818 parameters; 1437 training and 360 test examples, the same every time."""
    for name, size in (("digits-mlp", 8970), ("digits-cnn", 3818)):
        task = load_task(name)
        assert sum(p.numel() for p in task.build_model(0).parameters()) == size
        assert (len(task.data), len(task.test_data)) == (1437, 360)
        assert torch.equal(task.data.tensors[0], load_task(name).data.tensors[0])
        assert task.data.tensors[0].max() == 1


def test_the_seed_makes_the_weights_and_leaves_the_global_state():
    task = load_task("digits-mlp")
    state = torch.get_rng_state()
    one, two, other = task.build_model(1), task.build_model(1), task.build_model(2)
    assert torch.equal(one[1].weight, two[1].weight)
    assert not torch.equal(one[1].weight, other[1].weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_arguments():
    assert parse_task_arguments(["a=1", "b=[1, 2]", "c=x y", "d=True", "e="]) == {
        "a": 1, "b": [1, 2], "c": "x y", "d": True, "e": "",
    }  # fmt: skip
    with pytest.raises(nl.TaskError, match="key=value, got 'width'"):
        parse_task_arguments(["width"])


def test_no_colon():
    with pytest.raises(
        nl.TaskError, match=r"digits-mlp, .* or 'pkg.module:callable'; got 'digits'"
    ):
        load_task("digits")


def test_a_file_instead_of_a_module():
    with pytest.raises(nl.TaskError, match=r"module, not a file; .* write my_tasks:mine"):
        load_task("./my_tasks.py:mine")


def test_no_such_module():
    with pytest.raises(nl.TaskError, match="there is no module 'no_such_thing' on the path"):
        load_task("no_such_thing.deeper:make")


def test_an_import_error_inside_the_module_is_told_apart(module):
    module("my_tasks_b", "import no_such_library")
    with pytest.raises(nl.TaskError, match="inside the module: it needs 'no_such_library'"):
        load_task("my_tasks_b:make")
    module("my_tasks_c", "1 / 0")
    with pytest.raises(nl.TaskError, match="inside the module: ZeroDivisionError"):
        load_task("my_tasks_c:make")


def test_no_such_name(module):
    module("my_tasks_d", GOOD)
    with pytest.raises(nl.TaskError, match=r"my_tasks_d has no 'mike'.*it has .*make"):
        load_task("my_tasks_d:mike")


def test_a_callable_that_raises_or_returns_something_else(module):
    module("my_tasks_e", "def bad(): return 3\ndef worse(): raise KeyError('k')\nvalue = 4")
    with pytest.raises(nl.TaskError, match=r"returned int, not a noise_lens.Task"):
        load_task("my_tasks_e:bad")
    with pytest.raises(nl.TaskError, match="calling my_tasks_e:worse raised KeyError: 'k'"):
        load_task("my_tasks_e:worse")
    with pytest.raises(nl.TaskError, match="is a int; a task string names a callable"):
        load_task("my_tasks_e:value")
    with pytest.raises(nl.TaskError, match=r"raised TypeError: .*unexpected keyword argument 'w'"):
        load_task("my_tasks_e:bad", {"w": 1})


def test_parts_of_the_wrong_kind():
    with pytest.raises(nl.TaskError, match="model factory or module, got int"):
        nl.Task(3, lambda m, b: 0, [], name="t")
    with pytest.raises(nl.TaskError, match=r"needs loss\(model, batch\), got NoneType"):
        nl.Task(nn.ReLU, None, [], name="t")
    with pytest.raises(nl.TaskError, match="Dataset or DataLoader as data, got int"):
        nl.Task(nn.ReLU, lambda m, b: 0, 3, name="t")
    with pytest.raises(nl.TaskError, match=r"returned int, not a torch.nn.Module"):
        nl.Task(lambda: 3, lambda m, b: 0, [], name="t").build_model(0)


@pytest.mark.parametrize("options", [{"n": 1}, {"dim": 0}, {"noise": -1}])
def test_regression_out_of_range(options):
    with pytest.raises(nl.TaskError, match="linear-regression needs"):
        load_task("linear-regression", options)


def test_regression_noise_is_what_theory_says():
    """At the true weights the per-example gradient is residual times input: its coordinates have
    variance noise**2; 3277 examples, 10 coordinates, within 4 standard errors.
    """
    task = load_task("linear-regression", {"noise": 2.0, "dim": 10})
    inputs, labels = task.data.tensors
    solution = torch.linalg.lstsq(inputs, labels).solution
    gradients = (inputs @ solution - labels) * inputs
    error = float(gradients.square().std()) / (len(inputs) * 10) ** 0.5
    assert float(gradients.square().mean()) == pytest.approx(4, abs=4 * error)
