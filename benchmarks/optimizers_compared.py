"""SGD against the optimizers of the papers: digits, text, and Padam between the two.

    python benchmarks/optimizers_compared.py digits     # about half an hour on one core
    python benchmarks/optimizers_compared.py text       # about half an hour
    python benchmarks/optimizers_compared.py padam      # about ten minutes
    python benchmarks/optimizers_compared.py --figures  # draws docs/figures/optimizers-*.svg
    python benchmarks/optimizers_compared.py --document # writes the tables of docs/what-we-found.md

The first three train, measure and write results/optimizers_<name>.json; the tables are made of
those. Run folders lie in runs/found-<name>: a comparison that was stopped goes on from there, a
finished one is read, and the figures are drawn from them. Learning rates are tuned by the grids
below on a fifth of the training data that is held out for it; five seeds of weights, minibatches
and probes follow. `--document` writes the table that follows a comment such as
`<!-- table: digits tails -->`, and nothing else; `--check` says whether it would change one.
"""

import argparse
import json
import math
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import noise_lens as nl
from noise_lens.comparison.tuning import at_the_edge

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "what-we-found.md"
FIGURES = ROOT / "docs" / "figures"
KINDS = ("coordinates", "projections")
SEEDS = range(5)

RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LARGE, SMALL = RATES[3:], RATES[:5]  # of rules that divide by no root, and of those that do
PADAMS = {f"padam@p={p:g}": RATES[1:] for p in (1 / 16, 1 / 8, 1 / 4, 2 / 5, 1 / 2)}
COMPARISONS: dict[str, dict[str, Any]] = {
    "digits": {
        "task": "digits-mlp",
        "tuning": {
            "sgd": LARGE, "sgd-momentum": RATES[2:7], "adam": SMALL, "amsgrad": SMALL,
            "adamw": SMALL, "adal": SMALL, "padam": RATES[2:7], "adai": LARGE,
            "adaiw@weight_decay=0.0005": LARGE, "yogi": RATES[1:6], "adabound": SMALL,
        },
        "n_steps": 2000,
        "probe_steps": [100, 500, 2000],
        "n_minibatches": 2640,
        "views": ("gradient", "momentum", "update"),
        "published": True,
    },
    "text": {
        "task": "text-transformer",
        "tuning": {
            "sgd": LARGE, "sgd-momentum": RATES[2:7], "adam": SMALL, "adal": SMALL,
            "padam": RATES[2:7],
        },
        "n_steps": 600,
        "probe_steps": [150, 600],
        "n_minibatches": 1320,
        "views": ("gradient", "momentum"),
    },
    "padam": {
        "task": "digits-mlp",
        "tuning": {"sgd-momentum": RATES[2:7], **PADAMS, "adam": SMALL},
        "baseline": "sgd-momentum",
        "n_steps": 2000,
        "probe_steps": [500, 2000],
        "n_minibatches": 2200,
        "views": ("gradient", "momentum"),
    },
}  # fmt: skip


TITLES = {"gradient": "minibatch gradients", "momentum": "averages (first moments)"}
PREDICTED = ("sgd", "sgd-momentum", "adam", "padam", "adai")
SHOWN = {
    "digits": ("sgd", "sgd-momentum", "adam", "adal", "padam", "adai", "yogi", "adabound"),
    "text": ("sgd", "sgd-momentum", "adam", "adal", "padam"),
}


def measure(name: str) -> None:
    options = COMPARISONS[name]
    names = list(options["tuning"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the best learning rate of")  # in the result
        found = nl.compare(
            optimizers=names,
            seeds=SEEDS,
            batch_size=32,
            out=ROOT / "runs" / f"found-{name}",
            on_progress=show,
            **options,
        )
    print(file=sys.stderr)
    run = found.as_run()
    baseline = found.settings["baseline"]
    others = [one for one in names if any(n.startswith(f"{one}-s") for n in found.runs)]
    parts = [
        nl.contrasts.decompose(run, optimizer=one, of=of)
        for one in others
        if one != baseline and ended(found, one)
        for of in KINDS
    ]
    result = {
        "settings": found.settings,
        "versions": nl.read_run(found.folder).manifest["versions"],
        "tuning": found.tuning,
        "at_the_edge": at_the_edge(found.tuning, found.settings["learning_rates"]),
        "diverged": found.diverged,
        "summary": [row for step in options["probe_steps"] for row in found.summary(step=step)],
        "differences": [
            row
            for matched_by in ("step", "loss")
            for row in found.differences(matched_by=matched_by)
            if row["quantity"] in ("alpha", "test/accuracy", "gap/accuracy", "test/loss")
        ],
        "decompositions": [row for part in parts for row in part.rows()],
        "predictions": [
            {"optimizer": part.optimizer, "of": part.of, "step": part.step, **asdict(prediction)}
            for part in parts
            for prediction in part.predictions
        ],
        "published": published(found),
    }
    path = RESULTS / f"optimizers_{name}.json"
    path.write_text(in_lines(strict(result)), encoding="utf-8")
    print(f"wrote {path}")


def ended(found: nl.Comparison, name: str) -> bool:
    return any(n.rpartition("-s")[0] == name and n not in found.diverged for n in found.runs)


def published(found: nl.Comparison) -> list[dict[str, Any]]:
    """The literature's estimator beside ours, on the same probes."""
    return [
        {
            "run": name,
            "step": record["step"],
            "published": record["published_alpha"],
            "block_size": record["published_block_size"],
            "projections": record["projections_characteristic_function_alpha"],
            "coordinates": record["coordinates_characteristic_function_alpha"],
        }
        for name, records in found.runs.items()
        for record in records
        if record["published_alpha"] is not None
    ]


def in_lines(result: dict[str, Any]) -> str:
    """JSON with a line a row, so that a change of one is seen."""
    parts = []
    for key, value in result.items():
        rows = (
            [json.dumps(row, allow_nan=False) for row in value] if isinstance(value, list) else []
        )
        text = "[\n  " + ",\n  ".join(rows) + "\n ]" if rows else json.dumps(value, allow_nan=False)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def show(what: str, done: int, total: int) -> None:
    if what in ("runs", "learning rates"):
        print(f"\r{what}: {done} of {total}   ", end="", file=sys.stderr, flush=True)


def strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


# ---- The figures ----


def draw() -> None:
    from matplotlib.figure import Figure

    from noise_lens.figures import plot_decomposition, plot_tail_over_training, tail_curves
    from noise_lens.report.svg import drawing, write_svg

    for name, shown in SHOWN.items():
        run = nl.read_run(ROOT / "runs" / f"found-{name}")
        with drawing(f"optimizers-{name}"):
            figure = Figure(figsize=(9, 7.5), layout="constrained")
            axes = figure.subplots(2, 2, sharey="row")
            for line, view in zip(axes, ("gradient", "momentum"), strict=True):
                for ax, of in zip(line, KINDS, strict=True):
                    curves = tail_curves(run, view=view, of=of)
                    plot_tail_over_training([c for c in curves if c.optimizer in shown], ax=ax)
                    ax.set_title(f"{TITLES[view]}, {of}", size=9)
            for ax in axes[:, 1]:
                ax.set_ylabel("")
            handles, labels = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6))
            write_svg(figure, FIGURES / f"optimizers-{name}.svg")
        with drawing(f"averaging-{name}"):
            figure = Figure(figsize=(9, 1.6 + 0.34 * len(shown)), layout="constrained")
            ax = figure.subplots()
            baseline = run.manifest["settings"]["baseline"]
            parts = [
                nl.contrasts.decompose(run, optimizer=one, of="coordinates")
                for one in shown
                if one != baseline
            ]
            plot_decomposition(parts, ax=ax)
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
            write_svg(figure, FIGURES / f"averaging-{name}.svg")
        print(f"drew {name}")


# ---- The tables of the page ----


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"optimizers_{name}.json").read_text(encoding="utf-8"))


def tails_table(name: str, *, views: tuple[str, ...]) -> list[str]:
    """Every optimizer at the last step: accuracy, and alpha of every view."""
    result = read(name)
    last = result["settings"]["probe_steps"][-1]
    rows = [row for row in result["summary"] if row["step"] == last]
    columns = [(view, of) for of in KINDS for view in views]
    header = ["optimizer", "rate", "test accuracy", "accuracy gap"]
    header += [f"{of}: {view}" for view, of in columns]
    lines = [
        [
            row["optimizer"],
            f"{row['learning_rate']:g}"
            + ("*" if row["optimizer"] in result["at_the_edge"] else ""),
            percent(row, "test/accuracy"),
            percent(row, "gap/accuracy"),
            *(estimate(row, f"{view}/{of}/alpha") for view, of in columns),
        ]
        for row in rows
    ]
    return markdown(header, lines)


def verdicts_table(name: str, view: str) -> list[str]:
    result = read(name)
    last = result["settings"]["probe_steps"][-1]
    rows = [row for row in result["summary"] if row["step"] == last]
    return markdown(
        ["optimizer", *KINDS],
        [
            [row["optimizer"], *(row.get(f"{view}/{of}/verdicts") or "-" for of in KINDS)]
            for row in rows
        ],
    )


def differences_table(name: str, *, quantity: str, view: str | None, of: str | None) -> list[str]:
    """Differences from the baseline, by step and at equal training loss; claims in bold."""
    result = read(name)
    rows = [
        row
        for row in result["differences"]
        if (row["quantity"], row["view"], row["of"]) == (quantity, view, of)
    ]
    steps = result["settings"]["probe_steps"]
    names = list(dict.fromkeys(row["optimizer"] for row in rows))
    header = [f"minus {result['settings']['baseline']}", *(f"step {step:,}" for step in steps)]
    matched = [row for row in rows if row["matched_by"] == "loss"]
    header += ["at equal training loss"] * bool(matched)
    lines = []
    for one in names:
        own = {row["at"]: row for row in rows if row["optimizer"] == one and by_step(row)}
        cells = [difference(own.get(step), percent=quantity.endswith("accuracy")) for step in steps]
        if matched:
            there = [row for row in matched if row["optimizer"] == one and row["mean"] is not None]
            lowest = min(there, key=lambda row: row["at"], default=None)
            cell = difference(lowest, percent=quantity.endswith("accuracy"))
            cells.append(cell if lowest is None else f"{cell} (loss {lowest['at']:.2g})")
        lines.append([one, *cells])
    return markdown(header, lines)


def averaging_table(name: str, of: str) -> list[str]:
    """What averaging explains at the last step."""
    result = read(name)
    last = result["settings"]["probe_steps"][-1]
    rows = [r for r in result["decompositions"] if r["of"] == of and r["step"] == last]
    lines = []
    for one in dict.fromkeys(row["optimizer"] for row in rows):
        terms = {r["name"]: r for r in rows if r["optimizer"] == one and r["part"] == "term"}
        (share,) = [r for r in rows if r["optimizer"] == one and r["part"] == "share"]
        cells = [difference(terms[term]) for term in ("apparent", "averaging", "weights")]
        lines.append([one, *cells, percent_share(share)])
    header = ["optimizer", "its averages − raw noise of SGD", "averaging alone", "weights alone"]
    return markdown([*header, "share of averaging"], lines)


def predictions_table(name: str, of: str) -> list[str]:
    """Two laws against what averages were, at the last step."""
    result = read(name)
    last = result["settings"]["probe_steps"][-1]
    rows = [r for r in result["predictions"] if r["of"] == of and r["step"] == last]
    names = {"alpha": "α", "log_scale_shift": "log of the scale's ratio"}
    seen, lines = set(), []
    for row in rows:
        key = row["weights"], row["law"], row["quantity"]
        if key in seen or row["weights"] not in PREDICTED:
            continue
        seen.add(key)
        quantity = names.get(row["quantity"], "excess kurtosis")
        lines.append(
            [
                row["weights"], f"{row['law']}: {quantity}", interval(row["predicted"]),
                interval(row["observed"]), difference(row["miss"]),
            ]
        )  # fmt: skip
    return markdown(["weights of", "law", "predicted", "observed", "observed − predicted"], lines)


def published_table(name: str) -> list[str]:
    """The literature's number beside ours, means over seeds."""
    result = read(name)
    rows = result["published"]
    lines = []
    for one in ("sgd", "adam", "adal"):
        for step in result["settings"]["probe_steps"]:
            here = [
                row for row in rows if row["run"].rpartition("-s")[0] == one and row["step"] == step
            ]
            cells = [
                interval(asdict(nl.contrasts.mean_over_seeds([row[key] for row in here])))
                for key in ("published", "coordinates", "projections")
            ]
            lines.append([one, f"{step:,}", *cells])
    header = ["optimizer", "step", "published estimator", "α of coordinates", "α of projections"]
    return markdown(header, lines)


def by_step(row: dict[str, Any]) -> bool:
    return row["matched_by"] == "step"


def estimate(row: dict[str, Any], key: str) -> str:
    if row.get(key) is None:
        return "-"
    return interval({"mean": row[key], "low": row[f"{key}_low"], "high": row[f"{key}_high"]})


def interval(found: dict[str, Any]) -> str:
    if found["mean"] is None:
        return "-"
    if found["low"] is None or math.isnan(found["low"]):
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def percent(row: dict[str, Any], key: str) -> str:
    if row.get(key) is None:
        return "-"
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    text = f"{100 * row[key]:.1f}"
    return f"{text} %" if low is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}] %"


def difference(found: dict[str, Any] | None, *, percent: bool = False) -> str:
    if found is None or found["mean"] is None:
        return "-"
    factor, unit, digits = (100, " %", 1) if percent else (1, "", 3)
    text = f"{factor * found['mean']:+.{digits}f}"
    if found["low"] is not None:
        text += f" [{factor * found['low']:+.{digits}f}, {factor * found['high']:+.{digits}f}]"
    return f"**{text}{unit}**" if found["claim"] else f"{text}{unit}"


def percent_share(share: dict[str, Any]) -> str:
    if share["mean"] is None:
        return "withheld"
    return f"{100 * share['mean']:.0f} % [{100 * share['low']:.0f}, {100 * share['high']:.0f}]"


def markdown(header: list[str], lines: list[list[str]]) -> list[str]:
    rows = [header, ["---"] * len(header), *lines]
    return [
        "| " + " | ".join(row) + " |" if row[0] != "---" else "|" + "|".join(row) + "|"
        for row in rows
    ]


THREE, TWO = ("gradient", "momentum", "update"), ("gradient", "momentum")
TABLES: dict[str, Callable[[], list[str]]] = {
    "digits tails": lambda: tails_table("digits", views=THREE),
    "digits verdicts": lambda: verdicts_table("digits", "gradient"),
    "digits raw coordinates": lambda: differences_table(
        "digits", quantity="alpha", view="gradient", of="coordinates"
    ),
    "digits raw projections": lambda: differences_table(
        "digits", quantity="alpha", view="gradient", of="projections"
    ),
    "digits accuracy": lambda: differences_table(
        "digits", quantity="test/accuracy", view=None, of=None
    ),
    "digits averaging coordinates": lambda: averaging_table("digits", "coordinates"),
    "digits averaging projections": lambda: averaging_table("digits", "projections"),
    "digits predictions": lambda: predictions_table("digits", "coordinates"),
    "digits published": lambda: published_table("digits"),
    "text tails": lambda: tails_table("text", views=TWO),
    "text verdicts": lambda: verdicts_table("text", "gradient"),
    "text raw coordinates": lambda: differences_table(
        "text", quantity="alpha", view="gradient", of="coordinates"
    ),
    "text raw projections": lambda: differences_table(
        "text", quantity="alpha", view="gradient", of="projections"
    ),
    "text accuracy": lambda: differences_table(
        "text", quantity="test/accuracy", view=None, of=None
    ),
    "text averaging coordinates": lambda: averaging_table("text", "coordinates"),
    "text averaging projections": lambda: averaging_table("text", "projections"),
    "padam tails": lambda: tails_table("padam", views=TWO),
    "padam raw coordinates": lambda: differences_table(
        "padam", quantity="alpha", view="gradient", of="coordinates"
    ),
}
TABLE = re.compile(r"(<!-- table: ([a-z ]+) -->\n)((?:\|.*\n)*)")


def document(*, check: bool = False) -> bool:
    """Write the tables of the page, or say whether they are right."""
    there = PAGE.read_text(encoding="utf-8")
    right = TABLE.sub(lambda m: m[1] + "\n".join(TABLES[m[2]]()) + "\n", there)
    if not check and right != there:
        PAGE.write_text(right, encoding="utf-8")
        print(f"wrote {PAGE}")
    return right == there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*COMPARISONS, []])
    parser.add_argument("--figures", action="store_true", help="draw from the results")
    parser.add_argument("--document", action="store_true", help="write the tables of the page")
    parser.add_argument("--check", action="store_true", help="whether the tables are right")
    options = parser.parse_args()
    for name in options.names:
        measure(name)
    if options.figures:
        draw()
    if options.document:
        document()
    if options.check:
        sys.exit(0 if document(check=True) else f"{PAGE} is not what the results say")
    if not (options.names or options.figures or options.document or options.check):
        parser.print_usage()


if __name__ == "__main__":
    main()
