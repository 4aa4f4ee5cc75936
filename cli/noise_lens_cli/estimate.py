"""``noise-lens estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.estimate_output import (
    echo_entries,
    echo_path,
    entries,
    no_entry,
    path_document,
    path_remark,
)
from noise_lens_cli.printing import echo_json
from noise_lens_cli.translate import translated

if TYPE_CHECKING:
    from noise_lens import HillPath, TailIndexEstimate

_METHODS = (
    "characteristic_function",
    "maximum_likelihood",
    "log_moments",
    "quantile",
    "mohammadi",
    "mohammadi_norm",
    "hill",
    "moment",
)
_WITH_K, _WITH_BLOCKS = ("hill", "moment"), ("mohammadi", "mohammadi_norm")
_ON_REQUEST = ("simsekli2019", "scipy")


@click.command()
@click.argument("file", type=click.Path(allow_dash=True))
@click.option(
    "--method",
    type=click.Choice([*_METHODS, *_ON_REQUEST]),
    multiple=True,
    help="May be repeated. All if not given, but simsekli2019 (the published arithmetic) and "
    "scipy (slow).",
)
@click.option(
    "-k",
    type=int,
    help="Upper order statistics for hill and moment; 5 % of the non-zero samples by default.",
)
@click.option("--block-size", type=int, help="For mohammadi and mohammadi_norm; 8 by default.")
@click.option("--key", help="Which array of a .npz, .safetensors or .parquet file.")
@click.option(
    "--axis",
    type=click.Choice(["0", "1"]),
    default="0",
    show_default=True,
    help="Along which axis the samples of one column run.",
)
@click.option("--columns", is_flag=True, help="One estimate a column instead of one of all.")
@click.option(
    "--max-samples",
    type=int,
    default=300,
    show_default=True,
    help="The most that scipy is given: 0.08 s each.",
)
@click.option("--plot", metavar="FILE.svg", help="Draw estimates, Hill's path and the survival.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def estimate(
    file: str,
    method: tuple[str, ...],
    k: int | None,
    block_size: int | None,
    key: str | None,
    axis: str,
    columns: bool,
    max_samples: int,
    plot: str | None,
    as_json: bool,
) -> None:
    """Estimate the tail index of the numbers in FILE, by every method.

    FILE is .npy, .npz, .csv, .parquet or .safetensors, or - for numbers or .npy on stdin. It holds
    noise: centred at zero, samples down the first axis. Several columns are standardised one by
    one and pooled, with an error that counts rows; --columns shows each. In JSON null stands for
    no estimate, or for inf: no power tail (alpha, low), no upper bound (high).

    \b
    Example:
        noise-lens estimate noise.npy --json
        noise-lens estimate noise.npy --plot noise.svg
        seq 1 500 | noise-lens estimate - --method hill -k 50
    """
    from noise_lens import NoiseLensError
    from noise_lens.inference.artefacts import disagreement, sample_warnings, unused_columns
    from noise_lens_cli.arrays import read_array

    array = read_array(file, key)
    array = array.T if axis == "1" and array.ndim == 2 else array
    # One column is one sample, however its file was shaped.
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    _check_options(method, array.ndim, k=k, block_size=block_size, columns=columns)
    names = method or tuple(name for name in _METHODS if _applies(name, array.ndim, columns))
    estimates, found = [], []
    failures: list[Exception] = []
    for name in names:
        try:
            one, remark = _estimate(
                array, name, columns=columns, k=k, block_size=block_size or 8,
                max_samples=max_samples,
            )  # fmt: skip
        except (NoiseLensError, ValueError) as error:
            asked = (k is not None and name in _WITH_K) or (block_size and name in _WITH_BLOCKS)
            if method or asked or len(failures) == len(names) - 1:
                raise
            failures.append(error)
            found.append(no_entry(name, array, str(error)))
            continue
        estimates.append(one)
        found.extend(entries(one, remark, array))
    path, said = (None, "") if columns else _hill_path(array)
    likelihood = next((e for e in estimates if e.method == "maximum_likelihood"), None)
    warnings = sample_warnings(array, likelihood)
    if array.ndim == 2 and not columns:
        warnings += unused_columns(array)
    if array.ndim == 1 or not columns:
        warnings += disagreement(estimates)
    if plot:
        _plot(plot, array, estimates, path, columns=columns)
    if as_json:
        echo_json(
            {
                "file": file,
                "shape": list(array.shape),
                "estimates": found,
                "hill_path": path_document(path, said),
                "warnings": [warning._asdict() for warning in warnings],
            }
        )
        return
    click.echo(f"{file}: {' x '.join(map(str, array.shape))} samples")
    echo_entries(found)
    echo_path(path, said)
    for warning in warnings:
        click.echo(f"Warning: {warning.message}", err=True)
    click.echo(
        "hill and moment describe the largest values, the others fit a stable law to the bulk; "
        "each interval holds if its model does. No verdict.",
        err=True,
    )


def _check_options(
    method: tuple[str, ...], n_axes: int, *, k: int | None, block_size: int | None, columns: bool
) -> None:
    """Refuse an option that no method of this call would look at."""
    if k is not None and method and not set(_WITH_K) & set(method):
        raise ValueError(f"-k {k} is for hill and moment, and --method names {', '.join(method)}")
    if block_size is not None and method and not set(_WITH_BLOCKS) & set(method):
        raise ValueError(
            f"--block-size {block_size} is for mohammadi and mohammadi_norm, and --method names "
            f"{', '.join(method)}"
        )
    whole = {"mohammadi_norm", "simsekli2019"} & set(method)
    if columns and n_axes == 2 and whole:
        raise ValueError(
            f"{', '.join(sorted(whole))} takes all columns at once, and --columns asks for each. "
            "Leave one of the two out."
        )


def _applies(name: str, n_axes: int, columns: bool) -> bool:
    return name != "mohammadi_norm" or (n_axes == 2 and not columns)


def _estimate(
    array: Any, name: str, *, columns: bool, k: int | None, block_size: int, max_samples: int
) -> tuple[TailIndexEstimate, str]:
    """Return the estimate of one method, and what to say beside it."""
    import noise_lens as nl

    pooled = array.ndim == 2 and not columns
    remark = "standardised one by one" if pooled else ""
    if name in ("hill", "moment"):
        chosen = k if k is not None else _twentieth(array, pooled=pooled)
        remark = f"k = {chosen:,}" + ("" if k else ", 5 %: look at others too")
        if pooled:
            return nl.pooled(array, name, k=chosen), remark
        return (nl.hill if name == "hill" else nl.moment)(array, chosen), remark
    if name == "scipy":
        return nl.scipy_fit(array, max_samples=max_samples), "scipy's location is free"
    if name == "simsekli2019":
        return nl.mohammadi(array, compat="simsekli2019"), "published arithmetic, all entries"
    if name in ("mohammadi", "mohammadi_norm"):
        remark = f"block size {block_size}"
        if pooled:
            return nl.pooled(array, name, block_size=block_size), remark
        return (nl.mohammadi if name == "mohammadi" else nl.mohammadi_norm)(
            array, block_size
        ), remark
    if pooled:
        return nl.pooled(array, name), remark
    functions = {
        "characteristic_function": nl.characteristic_function,
        "maximum_likelihood": nl.maximum_likelihood,
        "log_moments": nl.log_moments,
        "quantile": nl.quantile,
    }
    return functions[name](array), remark


def _twentieth(array: Any, *, pooled: bool) -> int:
    """Return 5 % of the non-zero samples that an estimate uses, at least 2."""
    import numpy as np

    from noise_lens.inference.standardise import standardise

    if pooled and array.dtype.kind in "fiub":
        nonzero = int(standardise(np.asarray(array, dtype=np.float64))[1].sum())
    else:
        nonzero = int(np.max(np.count_nonzero(array, axis=0)))
    return max(2, nonzero // 20)


def _hill_path(array: Any) -> tuple[HillPath | None, str]:
    """Return Hill's path over the (standardised) entries, and what to say where there is none."""
    import numpy as np

    import noise_lens as nl
    from noise_lens.inference.standardise import standardise

    try:
        if array.ndim == 2:
            array = standardise(np.asarray(array, dtype=np.float64))[0].ravel()
        path = nl.hill_path(array)
        return path, path_remark(path)
    except nl.NoiseLensError as error:
        return None, f"there is none: {error}"


def _plot(
    target: str,
    array: Any,
    estimates: list[TailIndexEstimate],
    path: HillPath | None,
    *,
    columns: bool,
) -> None:
    import numpy as np

    from noise_lens import SamplesError
    from noise_lens.report import write_sample_figure

    if columns and array.ndim == 2:
        raise SamplesError("--plot draws one sample, and --columns asks for each: leave one out")
    rows = np.asarray(array, dtype=np.float64).reshape(len(array), -1)
    written = write_sample_figure(target, rows, estimates, path)
    click.echo(f"wrote {written}", err=True)
