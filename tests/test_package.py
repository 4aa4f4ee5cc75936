"""The house itself: lazy names, the wheel, the import contracts."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import noise_lens

ROOT = Path(__file__).parent.parent


def test_all_is_what_is_visible():
    assert sorted(noise_lens.__all__) == noise_lens.__all__
    assert set(noise_lens.__all__) | {"__version__"} == set(dir(noise_lens))
    for name in dir(noise_lens):
        assert getattr(noise_lens, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'judgement'"):
        _ = noise_lens.judgement


def test_import_is_light():
    """import noise_lens loads neither torch nor NumPy; the estimators load no torch."""
    code = (
        "import sys, noise_lens\n"
        "assert not {'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "noise_lens.pooled, noise_lens.read_run, noise_lens.SymmetricStable\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_wheel_ships_two_packages_and_their_data(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"noise_lens", "noise_lens_cli"}
    for needed in (
        "noise_lens/py.typed",
        "noise_lens_cli/py.typed",
        "noise_lens/report/page.html.j2",
        "noise_lens/inference/self_standardisation.json",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("room", "planted", "contract"),
    [
        ("estimators", "from noise_lens.inference import pooled", "An import may only point down"),
        ("stable", "import torch", "Tensors end at the sketch"),
        ("capture", "import matplotlib", "matplotlib only in figures and report"),
        ("capture", "import noise_lens.tasks", "An import may only point down"),
    ],
)
def test_a_planted_import_breaks_the_contract(tmp_path, room, planted, contract):
    """The lint step fails when an upward import is planted, and names the contract."""
    import shutil

    shutil.copytree(ROOT / "noise_lens", tmp_path / "noise_lens")
    shutil.copytree(ROOT / "cli" / "noise_lens_cli", tmp_path / "noise_lens_cli")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "noise_lens" / room / "planted.py").write_text(planted + "\n")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert found.returncode == 1
    assert f"{contract}" in found.stdout.replace("\n", " ")
    assert "BROKEN" in found.stdout


def test_nothing_that_replaces_torch_is_installed():
    """torchvision and what pulls it in break lightning and transformers beside a CPU torch."""
    from importlib import metadata

    installed = {name.lower() for name in metadata.packages_distributions()}
    assert not {"torchvision", "backpack", "curvlinops", "timm"} & installed
