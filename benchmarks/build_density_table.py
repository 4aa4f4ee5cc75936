"""Build noise_lens/stable/density_table.npy anew, by quadrature and the tail series.

    python benchmarks/build_density_table.py

About two seconds. The shipped file and a new one agree to rounding error (tests/stable).
"""

from pathlib import Path

import numpy as np

from noise_lens.stable import table

PATH = Path(table.__file__).with_name("density_table.npy")


def main() -> None:
    np.save(PATH, table.build())
    print(f"wrote {PATH.name}: {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
