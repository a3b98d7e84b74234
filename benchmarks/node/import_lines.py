"""A member's raw sales lines become monthly series: seconds and peak memory, first and from the cache.

    python -m benchmarks.node.import_lines --rows 5000000

The file is GB18030 with five columns, 0.1 % of its rows faulty. Each row of the table is a process of its own; peak is
the largest resident size the kernel saw (ru_maxrss). Baseline: polars alone reads the four needed columns of the same
file, already decoded to UTF-8, into memory, and checks nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.tables import markdown
from client_node.data.mapping import FILE
from client_node.data.suggestions import suggest, to_toml
from engine.table import shipped

_MEASURED = """
import json, resource, time
from pathlib import Path
begun, cpu = time.perf_counter(), time.process_time()
{work}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": round(time.perf_counter() - begun, 1), "CPU seconds": round(time.process_time() - cpu, 1),
                  "peak MB": round(peak), "rows out": len(made), "faults": faults}}))
"""
_PLAIN = "import polars as pl\nmade, faults = pl.read_csv(r'{plain}', columns={columns}, infer_schema=False), 0"
_NODE = """from client_node.data.member_table import read_table
from engine.table import shipped
table = read_table(Path(r'{data}'), shipped('engine.demand'), key=b'k', home=Path(r'{home}'))
made, faults = table.training, len(table.findings)"""
_COLUMNS = ["出库单号", "产品编码", "出库日期", "含税金额"]


def write_lines(folder: Path, rows: int) -> Path:
    """The export, and beside the folder the same text in UTF-8."""
    random, first = np.random.default_rng(0), date(2022, 1, 1)
    days = [str(first + timedelta(days=int(d))) for d in range(1400)]
    plain = folder.parent / "plain.csv"
    with plain.open("wb") as file, (folder / "销售明细.csv").open("wb") as export:
        for at in range(0, rows, 500_000):
            n = min(500_000, rows - at)
            amount = np.round(random.gamma(2, 50, n), 2).astype(str)
            amount[random.random(n) < 0.001] = "?"
            frame = pl.DataFrame(
                {
                    "出库单号": [f"D{i:09d}" for i in range(at, at + n)],
                    "产品编码": [f"P{i:05d}" for i in random.integers(0, 4000, n)],
                    "客户名称": ["某某公司"] * n,
                    "出库日期": [days[i] for i in random.integers(0, len(days), n)],
                    "含税金额": amount,
                }
            )
            text = frame.write_csv(include_header=at == 0)
            file.write(text.encode())
            export.write(text.encode("gb18030"))
    return plain


def measured(work: str) -> dict[str, object]:
    """What one process took."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED.format(work=work)], capture_output=True, text=True, check=True, timeout=3600
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        data, home = Path(place) / "data", Path(place) / "home"
        data.mkdir(), home.mkdir()
        plain = write_lines(data, rows)
        schema = shipped("engine.demand")
        (home / FILE).write_text(to_toml([suggest(data, schema)], [schema]), encoding="utf-8")
        node = _NODE.format(data=data, home=home)
        lines = [
            {"method": "polars alone, nothing checked"} | measured(_PLAIN.format(plain=plain, columns=_COLUMNS)),
            {"method": "client-node, first time"} | measured(node),
            {"method": "client-node, from its cache"} | measured(node),
        ]
    print(f"{rows:,} lines")
    print(markdown(lines))


if __name__ == "__main__":
    main()
