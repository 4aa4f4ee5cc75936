"""The run folder: what was measured, on disk, readable after any crash.

::

    RUN/manifest.json            what was asked, and with which versions
    RUN/records/*.parquet        one row a group, one file a measurement
    RUN/sketches/*.safetensors   the rows behind it
    RUN/trend.json               passive capture in a training loop, if there was any
    RUN/close.json               written at a clean end; absent after a crash
    RUN/close-r<rank>.json       the same of the ranks after the first, if there are several
    RUN/merged/*.parquet         records of all ranks together: may be removed, is worked out again
    RUN/<optimizer>-s<seed>/     a comparison: one run folder each

Every file is written under a name that begins with a dot and then moved, so a reader never sees
half a file. A sketch is moved before its record: a record that is there is complete.
"""

from noise_lens.run.files import read_json, write_json
from noise_lens.run.reader import (
    Run,
    ranks_not_closed,
    read_manifest,
    read_parts,
    read_records,
)
from noise_lens.run.schema import COLUMNS, ESTIMATE_FIELDS, KINDS, METHODS, SCHEMA, VERDICT_FIELDS
from noise_lens.run.writer import RunWriter, check_new, write_merged

__all__ = [
    "COLUMNS",
    "ESTIMATE_FIELDS",
    "KINDS",
    "METHODS",
    "SCHEMA",
    "VERDICT_FIELDS",
    "Run",
    "RunWriter",
    "check_new",
    "ranks_not_closed",
    "read_json",
    "read_manifest",
    "read_parts",
    "read_records",
    "write_json",
    "write_merged",
]
