"""Reads Parquet files for nano-reasoner with pyarrow.

Says first {"version"} or {"error"}; then answers requests, one JSON object a line: {"open": path} with {"columns", "rows"}, {"read": columns}
with {}, {"next": true} with some rows, each a JSON object on its line, and a line ".", or with a line "end" behind the last. What fails
is a line that begins with "!".
"""

import datetime
import json
import os
import sys


def main():
    find_user_packages()
    output = sys.stdout.buffer

    def say(answer):
        output.write(json.dumps(answer).encode() + b"\n")
        output.flush()

    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        say({"error": f"no pyarrow in {sys.executable} ({error}); install it with: {sys.executable} -m pip install pyarrow, or set NR_PYTHON to a Python that has it"})
        return 3

    def plain(value):
        """What JSON has no form for: numbers that are none become null, bytes and times text."""
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, float) and value - value != 0:
            return None
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        return value if value is None or isinstance(value, (str, int, float)) else str(value)

    def line(row):
        try:
            return json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError):
            return json.dumps(plain(row), ensure_ascii=False).encode()

    say({"version": pyarrow.__version__})
    file, batches = None, iter(())
    for request in sys.stdin:
        request = json.loads(request)
        try:
            if "open" in request:
                file = pyarrow.parquet.ParquetFile(request["open"])
                say({"columns": file.schema_arrow.names, "rows": file.metadata.num_rows})
            elif "read" in request:
                batches = file.iter_batches(batch_size=256, columns=request["read"])
                say({})
            else:
                batch = next(batches, None)
                if batch is None:
                    output.write(b"end\n")
                else:
                    output.write(b"".join(line(row) + b"\n" for row in batch.to_pylist()) + b".\n")
                output.flush()
        except BrokenPipeError:
            # Whoever asked has enough.
            os._exit(0)
        except Exception as error:
            output.write(f"!{type(error).__name__}: {' '.join(str(error).split())}\n".encode())
            output.flush()
    return 0


try:
    sys.exit(main())
except (BrokenPipeError, KeyboardInterrupt):
    os._exit(0)
