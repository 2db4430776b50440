"""`python -m engine.store PATH MAP_SIZE`: examine a store and print the report as JSON. `verify` runs this as its child."""

import sys
from pathlib import Path

import msgspec

from engine.store.verify import examine_store

if __name__ == "__main__":
    report = examine_store(Path(sys.argv[1]), map_size=int(sys.argv[2]))
    sys.stdout.buffer.write(msgspec.json.encode(report))
