"""``noise-lens estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import echo_json, echo_table, interval, number
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
_ON_REQUEST = ("simsekli2019", "scipy")
_SHOWN_POINTS = 6


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
@click.option("--block-size", type=int, default=8, show_default=True, help="For mohammadi.")
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
    block_size: int,
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
    one and pooled, with an error that counts rows; --columns shows each.

    \b
    Example:
        noise-lens estimate noise.npy --json
        noise-lens estimate noise.npy --plot noise.svg
        seq 1 500 | noise-lens estimate - --method hill -k 50
    """
    from noise_lens.inference.artefacts import sample_warnings
    from noise_lens_cli.arrays import read_array

    array = read_array(file, key)
    array = array.T if axis == "1" and array.ndim == 2 else array
    # One column is one sample, however its file was shaped.
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    names = method or tuple(name for name in _METHODS if _applies(name, array.ndim, columns))
    estimates, remarks = [], []
    for name in names:
        one, remark = _estimate(
            array, name, columns=columns, k=k, block_size=block_size, max_samples=max_samples
        )
        estimates.append(one)
        remarks.append(remark)
    path, path_remark = (None, "") if columns else _hill_path(array)
    likelihood = next((e for e in estimates if e.method == "maximum_likelihood"), None)
    warnings = sample_warnings(array, likelihood)
    if plot:
        _plot(plot, array, estimates, path, columns=columns)
    entries = [
        entry
        for one, remark in zip(estimates, remarks, strict=True)
        for entry in _entries(one, remark, array)
    ]
    if as_json:
        echo_json(
            {
                "file": file,
                "shape": list(array.shape),
                "estimates": entries,
                "hill_path": _path_document(path, path_remark),
                "warnings": warnings,
            }
        )
        return
    click.echo(f"{file}: {' x '.join(map(str, array.shape))} samples")
    _echo_entries(entries)
    _echo_path(path, path_remark)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(
        "hill and moment describe the largest values, the others fit a stable law to the bulk; "
        "each interval holds if its model does. No verdict.",
        err=True,
    )


def _applies(name: str, n_axes: int, columns: bool) -> bool:
    return name != "mohammadi_norm" or (n_axes == 2 and not columns)


def _estimate(
    array: Any, name: str, *, columns: bool, k: int | None, block_size: int, max_samples: int
) -> tuple[TailIndexEstimate, str]:
    """Return the estimate of one method, and what to say beside it."""
    import numpy as np

    import noise_lens as nl

    pooled = array.ndim == 2 and not columns
    remark = "standardised one by one" if pooled else ""
    if name in ("hill", "moment"):
        nonzero = np.count_nonzero(array, axis=None if pooled else 0)
        chosen = max(2, int(np.max(nonzero)) // 20) if k is None else k
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


def _hill_path(array: Any) -> tuple[HillPath | None, str]:
    """Return Hill's path over the (standardised) entries, and what to say where there is none."""
    import numpy as np

    import noise_lens as nl
    from noise_lens.inference.standardise import standardise

    try:
        if array.ndim == 2:
            array = standardise(np.asarray(array, dtype=np.float64))[0].ravel()
        path = nl.hill_path(array)
        return path, _path_remark(path)
    except nl.NoiseLensError as error:
        return None, f"there is none: {error}"


def _path_remark(path: HillPath) -> str:
    """Say what the path supports."""
    flat = path.flat_k()
    if flat is None:
        return "It is flat nowhere: this sample does not identify a tail index."
    if path.choose_k() is None:
        return (
            f"It is flat up to k = {flat:,}, but moment does not rule out a tail lighter than any "
            "power there: this sample does not identify a tail index."
        )
    alpha = float(path.alpha[path.k == flat][0])
    return f"It is flat up to k = {flat:,}: alpha {alpha:.2f} there (not counting the choice)."


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
        raise SamplesError("--plot draws one sample; leave out --columns, or choose with --key")
    rows = np.asarray(array, dtype=np.float64).reshape(len(array), -1)
    written = write_sample_figure(target, rows, estimates, path)
    click.echo(f"wrote {written}", err=True)


def _entries(one: TailIndexEstimate, remark: str, array: Any) -> list[dict[str, Any]]:
    import numpy as np

    low, high = one.confidence_interval()
    scalar = np.ndim(one.alpha) == 0
    fields = {
        "alpha": one.alpha,
        "low": low,
        "high": high,
        "standard_error": one.standard_error,
        "sigma": np.nan if one.sigma is None else one.sigma,
        "n": one.n,
        "n_zero": one.n_zero,
    }
    size = 1 if scalar else len(np.asarray(one.alpha))
    wide = {name: np.broadcast_to(np.asarray(value), (size,)) for name, value in fields.items()}
    entries = []
    for column in range(size):
        entry: dict[str, Any] = {name: value[column].item() for name, value in wide.items()}
        said = one.reasons.get(column, remark)
        if np.isinf(entry["alpha"]):
            said = "no power tail" + (f"; {said}" if said else "")
        entries.append(
            {
                "method": one.method,
                "column": ("pooled" if array.ndim == 2 else "-") if scalar else str(column),
                **entry,
                "remark": said,
            }
        )
    return entries


def _echo_entries(entries: list[dict[str, Any]]) -> None:
    header = ["method", "column", "alpha [95 %]", "n", "zeros dropped", "remark"]
    rows = [
        [
            entry["method"],
            entry["column"],
            interval(entry, "alpha", "low", "high"),
            f"{entry['n']:,}",
            f"{entry['n_zero']:,}",
            entry["remark"],
        ]
        for entry in entries
    ]
    if len({entry["column"] for entry in entries}) == 1:
        header, rows = header[:1] + header[2:], [row[:1] + row[2:] for row in rows]
    echo_table(header, rows)


def _echo_path(path: HillPath | None, remark: str) -> None:
    if path is None:
        if remark:
            click.echo(f"\nHill's path: {remark}")
        return
    shown = {round(i * (len(path.k) - 1) / (_SHOWN_POINTS - 1)) for i in range(_SHOWN_POINTS)}
    click.echo("\nHill's path, alpha at the k largest values:")
    echo_table(
        ["k", *(f"{path.k[i]:,}" for i in sorted(shown))],
        [["alpha", *(number(float(path.alpha[i])) for i in sorted(shown))]],
    )
    click.echo(remark)


def _path_document(path: HillPath | None, remark: str) -> dict[str, Any]:
    if path is None:
        return {"k": [], "alpha": [], "low": [], "high": [], "chosen_k": None, "remark": remark}
    return {
        "k": path.k.tolist(),
        "alpha": path.alpha.tolist(),
        "low": path.low.tolist(),
        "high": path.high.tolist(),
        "chosen_k": path.choose_k(),
        "remark": remark,
    }
