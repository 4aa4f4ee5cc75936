from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import noise_lens as nl

SAMPLE = np.random.default_rng(0).standard_cauchy(500)


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "a.npy", SAMPLE)
    np.savez(tmp_path / "a.npz", x=SAMPLE, y=SAMPLE**2)
    np.savez(tmp_path / "one.npz", x=SAMPLE)
    np.savetxt(tmp_path / "a.csv", SAMPLE)
    np.savetxt(tmp_path / "head.csv", SAMPLE, header="noise", comments="")
    pq.write_table(pa.table({"noise": SAMPLE}), tmp_path / "a.parquet")
    save_file({"noise": SAMPLE}, tmp_path / "a.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["a.npy", "one.npz", "a.csv", "head.csv", "a.parquet", "a.safetensors"]
)
def test_every_kind_of_file_gives_the_same(files, name, call, strict):
    found = strict(call("estimate", files / name, "--json").stdout)
    assert found["shape"] == [500]
    by_method = {entry["method"]: entry for entry in found["estimates"]}
    assert by_method["characteristic_function"]["alpha"] == pytest.approx(
        nl.characteristic_function(SAMPLE).alpha
    )
    assert by_method["hill"]["alpha"] == pytest.approx(nl.hill(SAMPLE, 25).alpha)
    assert by_method["mohammadi"]["low"] == pytest.approx(
        nl.mohammadi(SAMPLE).confidence_interval().low
    )


def test_stdin(call, strict):
    text = "\n".join(map(repr, SAMPLE.tolist()))
    found = strict(call("estimate", "-", "--json", text=text).stdout)
    assert found["estimates"][0]["n"] == 500
    buffer = io.BytesIO()
    np.save(buffer, SAMPLE)
    again = strict(call("estimate", "-", "--json", text=buffer.getvalue()).stdout)
    assert again["estimates"] == found["estimates"]
    line = strict(call("estimate", "-", "--json", text=" ".join(map(str, SAMPLE))).stdout)
    assert line["shape"] == [500]


def test_columns_are_pooled_or_shown(tmp_path, call, strict):
    rows = np.random.default_rng(1).standard_t(3, (300, 4)) * [1, 10, 100, 1000]
    rows[:, 2] = 0
    np.save(tmp_path / "rows.npy", rows)
    pooled = strict(call("estimate", tmp_path / "rows.npy", "--json").stdout)["estimates"]
    assert pooled[0]["alpha"] == pytest.approx(nl.pooled(rows).alpha)
    assert pooled[0]["column"] == "pooled"
    every = strict(
        call("estimate", tmp_path / "rows.npy", "--json", "--columns", "--method",
             "characteristic_function").stdout
    )["estimates"]  # fmt: skip
    assert [entry["column"] for entry in every] == ["0", "1", "2", "3"]
    assert every[2]["alpha"] is None
    assert "0 non-zero samples" in every[2]["remark"]


def test_table_and_key(files, call):
    text = call("estimate", files / "a.npz", "--key", "x", "--method", "hill", "-k", "50").output
    assert "k = 50" in text
    assert "No verdict" in text


def test_what_the_model_does_not_allow_for_is_said(tmp_path, call, strict):
    """A location that is left in reads 2.0 on Cauchy noise: the output says so; centred noise and
    a column of zeros beside good ones give no such warning.
    """
    np.save(tmp_path / "moved.npy", SAMPLE + 100)
    moved = strict(call("estimate", tmp_path / "moved.npy", "--json").stdout)
    location = moved["warnings"][0]
    assert set(location) == {"name", "value", "message"}
    assert (location["name"], location["value"]) == ("location", 1.0)
    assert "1 of 1 columns are not centred (100 % of the values" in location["message"]
    printed = call("estimate", tmp_path / "moved.npy").stderr
    assert f"Warning: {location['message']}\n" in printed
    rows = np.random.default_rng(1).standard_t(3, (300, 4))
    rows[:, 2] = 0
    np.save(tmp_path / "rows.npy", rows)
    found = strict(call("estimate", tmp_path / "rows.npy", "--json").stdout)
    zeros, unused = found["warnings"]
    sentence = "25.0 % of the values are exactly 0 and were dropped."
    assert zeros == {"name": "zeros", "value": 0.25, "message": sentence}
    assert (unused["name"], unused["value"]) == ("unused_columns", 1.0)
    assert unused["message"].startswith("1 of 4 columns were left out of pooled estimates")
    (pooled,) = (entry for entry in found["estimates"] if entry["method"] == "hill")
    assert pooled["remark"].startswith("k = 45, 5 %")
    shown = call("estimate", tmp_path / "rows.npy", "--columns", "--method", "hill", "--json")
    hills = strict(shown.stdout)["estimates"]
    assert [entry["alpha"] is None for entry in hills] == [False, False, True, False]
    assert hills[0]["remark"].startswith("k = 15")


def test_block_size_changes_mohammadi_alone(tmp_path, call, strict):
    rows = np.random.default_rng(1).standard_t(3, (300, 4))
    np.save(tmp_path / "rows.npy", rows)
    found = strict(call("estimate", tmp_path / "rows.npy", "--block-size", "4", "--json").stdout)
    by_method = {entry["method"]: entry["alpha"] for entry in found["estimates"]}
    assert by_method["characteristic_function"] == pytest.approx(nl.pooled(rows).alpha)
    expected = nl.pooled(rows, "mohammadi", block_size=4)
    assert by_method["mohammadi"] == pytest.approx(expected.alpha)


def test_a_header_of_column_numbers_is_a_header(tmp_path, call, strict):
    rows = np.random.default_rng(1).standard_t(3, (100, 3))
    np.savetxt(tmp_path / "pandas.csv", rows, delimiter=",", header="0,1,2", comments="")
    assert strict(call("estimate", tmp_path / "pandas.csv", "--json").stdout)["shape"] == [100, 3]


BAD = {
    "none.npy": (None, "there is no file"),
    "a.txt": ("1 2 3", "ends in .txt; known are"),
    "text.csv": ("a,b\nc,d\n", "cannot be read as .csv"),
    "empty.csv": ("", "cannot be read as .csv|empty array"),
    "broken.npy": ("not numpy", "cannot be read as .npy"),
    "broken.parquet": ("PAR1", "cannot be read as .parquet"),
    "broken.safetensors": ("xx", "cannot be read as .safetensors"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_files_that_cannot_be_read(tmp_path, name, call):
    content, message = BAD[name]
    if content is not None:
        (tmp_path / name).write_text(content)
    output = call("estimate", tmp_path / name, code=1).stderr
    assert output.startswith("Error: ")
    assert output.count("\n") == 1
    assert any(part in output for part in message.split("|"))


ARRAYS = {
    "nan": (np.array([1.0, np.nan] * 50), "NaN or inf"),
    "zeros": (np.zeros(100), "value 0"),
    "constant": (np.full(100, 2.0), "value 2"),
    "text": (np.array(["a"] * 100), "got text"),
    "complex": (np.ones(100) * 1j, "complex numbers"),
    "empty": (np.empty(0), "empty array"),
    "objects": (np.array([{}] * 3), "cannot be read as .npy: Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_no_samples(tmp_path, name, call):
    array, message = ARRAYS[name]
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    output = call("estimate", tmp_path / "x.npy", code=1).stderr
    assert message in output
    assert output.count("\n") == 1


def test_other_errors(files, call):
    assert "1 <= k < n, got k=500" in call("estimate", files / "a.npy", "-k", "500", code=1).stderr
    assert "Choose one with --key" in call("estimate", files / "a.npz", code=1).stderr
    assert "there is no 'z'" in call("estimate", files / "a.npz", "--key", "z", code=1).stderr
    assert "stdin gave no numbers" in call("estimate", "-", text="", code=1).stderr
    assert "text where numbers" in call("estimate", "-", text="a b", code=1).stderr
    assert "hold 1 to 2 numbers" in call("estimate", "-", text="1\n2 3\n", code=1).stderr


ALL = [
    "characteristic_function", "maximum_likelihood", "log_moments", "quantile", "mohammadi",
    "hill", "moment",
]  # fmt: skip


def test_all_methods_side_by_side_with_the_hill_path(files, call, strict):
    found = strict(call("estimate", files / "a.npy", "--json").stdout)
    assert set(found) == {"file", "shape", "estimates", "hill_path", "warnings"}
    assert [entry["method"] for entry in found["estimates"]] == ALL
    keys = {"method", "column", "alpha", "low", "high", "standard_error", "sigma", "n", "n_zero"}
    assert all(set(entry) == keys | {"remark"} for entry in found["estimates"])
    assert all(entry["low"] < 1.1 and entry["high"] > 0.9 for entry in found["estimates"])
    path = nl.hill_path(SAMPLE)
    assert found["hill_path"]["k"] == path.k.tolist()
    assert found["hill_path"]["chosen_k"] == path.choose_k()
    text = call("estimate", files / "a.npy").stdout
    assert "Hill's path, alpha at the k largest values:" in text
    assert "It is flat up to k = " in text


def test_rows_get_every_method_pooled(tmp_path, call, strict):
    rows = nl.SymmetricStable(1.5).rvs((300, 5), np.random.default_rng(3)) * 10.0 ** np.arange(5)
    np.save(tmp_path / "rows.npy", rows)
    found = strict(call("estimate", tmp_path / "rows.npy", "--json").stdout)
    by_method = {entry["method"]: entry for entry in found["estimates"]}
    assert set(by_method) == {*ALL, "mohammadi_norm"}
    assert by_method["hill"]["alpha"] == pytest.approx(nl.pooled(rows, "hill", k=75).alpha)
    turned = tmp_path / "turned.npy"
    np.save(turned, rows.T)
    again = strict(call("estimate", turned, "--axis", "1", "--json").stdout)
    assert again["estimates"] == found["estimates"]


def test_a_light_tail_is_said(tmp_path, call, strict):
    """Laplace: no tail index from moment, a remark at the chosen k, and no stable law fits."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).laplace(size=10_000))
    found = strict(call("estimate", tmp_path / "x.npy", "--json").stdout)
    moment = found["estimates"][-1]
    assert moment["high"] is None
    assert "moment does not rule out a tail lighter" in found["hill_path"]["remark"]
    assert found["hill_path"]["chosen_k"] is None
    messages = [warning["message"] for warning in found["warnings"]]
    assert any("no symmetric stable law fits" in message for message in messages)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random(10_000) - 0.5)
    assert "no power tail; k = 500" in call("estimate", tmp_path / "x.npy").stdout


def test_the_published_arithmetic_on_request(tmp_path, call, strict):
    np.save(tmp_path / "x.npy", SAMPLE)
    found = strict(
        call("estimate", tmp_path / "x.npy", "--method", "simsekli2019", "--json").stdout
    )
    (entry,) = found["estimates"]
    assert entry["method"] == "mohammadi, compat simsekli2019"
    assert entry["alpha"] == pytest.approx(nl.mohammadi(SAMPLE, compat="simsekli2019").alpha)


def test_scipy_on_request_within_its_limit(files, call, monkeypatch):
    from scipy import stats

    monkeypatch.setattr(stats.levy_stable, "fit", lambda *_, **__: (1.2, 0.0, 0.0, 3.0))
    many = call("estimate", files / "a.npy", "--method", "scipy", code=1).stderr
    assert "about 40 s for 500 samples, and max_samples is 300" in many
    shown = call("estimate", files / "a.npy", "--method", "scipy", "--max-samples", "500")
    assert "levy_stable.fit of 500 samples: about 40 s" in shown.stderr
    assert "1.20 [" in shown.stdout


def test_plot_is_one_whole_svg(files, call):
    """Three panels with text that a reader can search; a bad name or folder leaves nothing."""
    shown = call("estimate", files / "a.npy", "--plot", files / "figure.svg")
    assert "wrote" in shown.stderr
    text = (files / "figure.svg").read_text()
    assert text.startswith("<?xml")
    for word in ("maximum_likelihood", "k (upper order statistics)", "share of entries beyond"):
        assert word in text
    output = call("estimate", files / "a.npy", "--plot", files / "figure.png", code=1).stderr
    assert "the figure is an .svg file, got figure.png" in output
    call("estimate", files / "a.npy", "--plot", files / "none" / "figure.svg", code=1)
    assert not list(files.glob(".*part"))


def test_too_few_for_a_path(tmp_path, call):
    np.save(tmp_path / "x.npy", SAMPLE[:45])
    text = call("estimate", tmp_path / "x.npy", "--method", "hill", "-k", "5").stdout
    assert "Hill's path: there is none: hill_path needs at least 51" in text


def test_a_method_that_cannot_run_is_a_row(tmp_path, call, strict):
    """30 samples: quantile needs 40. The others answer; asked for alone, it is an error."""
    np.save(tmp_path / "x.npy", SAMPLE[:30])
    found = strict(call("estimate", tmp_path / "x.npy", "--json").stdout)["estimates"]
    (row,) = (entry for entry in found if entry["method"] == "quantile")
    assert row["alpha"] is None
    assert "at least 40 non-zero samples, got 30" in row["remark"]
    assert sum(entry["alpha"] is not None for entry in found) >= 5
    call("estimate", tmp_path / "x.npy", "--method", "quantile", code=1)


def test_estimates_that_contradict_each_other_are_named(tmp_path, call, strict):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).laplace(size=10_000))
    found = strict(call("estimate", tmp_path / "x.npy", "--json").stdout)["warnings"]
    (said,) = [warning for warning in found if warning["name"] == "disagreement"]
    assert "contradict each other: their 99 % intervals" in said["message"]
    np.save(tmp_path / "x.npy", nl.SymmetricStable(1.5).rvs(3000, np.random.default_rng(0)))
    assert strict(call("estimate", tmp_path / "x.npy", "--json").stdout)["warnings"] == []


def test_options_that_nothing_would_look_at(files, call):
    name = files / "a.npy"
    assert (
        "-k 5 is for hill"
        in call("estimate", name, "-k", "5", "--method", "quantile", code=1).stderr
    )
    assert (
        "--block-size 4 is for mohammadi"
        in call("estimate", name, "--block-size", "4", "--method", "hill", code=1).stderr
    )
    np.save(files / "rows.npy", SAMPLE.reshape(100, 5))
    assert (
        "takes all columns at once"
        in call(
            "estimate", files / "rows.npy", "--columns", "--method", "mohammadi_norm", code=1
        ).stderr
    )


def test_spreadsheet_files(tmp_path, call, strict):
    """A byte order mark belongs to no number, and an index without a name to no column."""
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + "\n".join(map(str, SAMPLE)).encode())
    assert strict(call("estimate", tmp_path / "bom.csv", "--json").stdout)["shape"] == [500]
    lines = [",noise", *(f"{row},{value}" for row, value in enumerate(SAMPLE))]
    (tmp_path / "index.csv").write_text("\n".join(lines))
    found = call("estimate", tmp_path / "index.csv", "--json")
    assert strict(found.stdout)["shape"] == [500]
    assert "the first column has no name, an index: left out" in found.stderr
    (tmp_path / "head.csv").write_text("noise\n")
    assert "a header and no numbers" in call("estimate", tmp_path / "head.csv", code=1).stderr


def test_half_precision_has_no_false_alarm(tmp_path, call, strict):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal(2000).astype(np.float16))
    found = strict(call("estimate", tmp_path / "x.npy", "--json").stdout)["warnings"]
    assert not any("centred" in warning["message"] for warning in found)
