"""The run folder of a lens: new, continued, or begun again after a crash."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noise_lens.capture.ranks import Ranks
from noise_lens.errors import RunFolderError
from noise_lens.run import RunWriter, check_new, read_manifest


def opened(
    out: str | Path, manifest: Mapping[str, Any], ranks: Ranks, *, resumed: bool
) -> RunWriter:
    """Return a writer for the folder of a lens.

    A folder that holds the same run, by its ``run_id``, is continued when the lens was given its
    state. One that a crashed run with the same settings left is set aside, inside the folder, when
    training begins anew: a job that is restarted by its cluster must not stop here, and steps of
    two runs must not mix.

    Parameters
    ----------
    out : str or Path
        The folder.
    manifest : mapping
        Of this run, with its ``run_id``.
    ranks : Ranks
        Which of several processes this is; rank 0 decides.
    resumed : bool
        The lens has loaded a state.

    Returns
    -------
    RunWriter
        For this rank.

    Raises
    ------
    RunFolderError
        The folder holds another run, or cannot be written.
    """
    out = Path(out)
    continues = False
    if (out / "manifest.json").exists() and ranks.rank == 0:
        there = read_manifest(out)
        continues = resumed and there.get("run_id") == manifest["run_id"]
        if not continues:
            _set_aside(out, there, manifest)
    elif ranks.rank:
        continues = True  # rank 0 has looked, or will
    elif resumed:
        warnings.warn(
            f"the state of the run {manifest['run_id'][:8]} was loaded, and {out} is new: what it "
            "measured before is not there",
            stacklevel=4,
        )
    if continues:
        for part in out.glob(f"*/.*-r{ranks.rank}*"):  # cut off in the middle of a write
            part.unlink(missing_ok=True)
    return RunWriter(out, manifest, resume=continues, ranks=ranks)


def _set_aside(out: Path, there: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    same = there.get("kind") == "lens" and there.get("settings") == manifest["settings"]
    if not same or (out / "close.json").exists():
        check_new(out)  # says that a run is there
    place = out / f".crashed-{str(there.get('run_id'))[:8]}"
    try:
        place.mkdir()
        for part in sorted(out.iterdir()):
            if part.name[0] != ".":
                part.rename(place / part.name)
    except OSError as error:
        raise RunFolderError(
            f"{out} holds a run that crashed, and it cannot be set aside: {error}. Choose another "
            "folder, or load_state_dict() the lens's state to continue it."
        ) from error
    warnings.warn(
        f"{out} holds a run with the same settings that did not end, and no state of it was "
        f"loaded: it was moved to {place}, and this run begins anew. To continue one, save "
        "lens.state_dict() with each checkpoint and load_state_dict() it before attach().",
        stacklevel=4,
    )
