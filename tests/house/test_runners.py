"""scripts/bench and scripts/drill end with one JSON line, say how to replay a failure, and exit 0 only if all held."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT

BENCH = """
def rows():
    return [{"name": "tell", "value": 1_234_567.0, "unit": "1/s", "budget": ">= 1 M/s", "ok": %s, "peers": {"pykka": 1e5}, "ratio": 12.3}]
"""
DRILLS = {
    "holds": "def run(count, seed):\n    return {'runs': count, 'lost': 0, 'ok': True}\n",
    "fails": "def run(count, seed):\n    return {'runs': count, 'lost': 1, 'ok': False}\n",
    "replays": "def run(count, seed):\n    return {'ok': False, 'replay': ['--count 1 --seed 17']}\n",
    "judged": "def run(count, seed):\n    return {'lost': 0}\n\ndef HELD(result):\n    return result['lost'] == 0\n",
    "raises": "def run(count, seed):\n    raise RuntimeError('broke')\n",
    "counted": "COUNT = 7\n\ndef run(count, seed):\n    return {'runs': count, 'ok': True}\n",
    "_helper": "",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with benches and drills of our own."""
    for kind in ("benches", "drills"):
        (tmp_path / "scripts" / kind).mkdir(parents=True)
    (tmp_path / "scripts" / "_runner.py").write_text((ROOT / "scripts" / "_runner.py").read_text())
    (tmp_path / "scripts" / "benches" / "good.py").write_text(BENCH % "True")
    for name, text in DRILLS.items():
        (tmp_path / "scripts" / "drills" / f"{name}.py").write_text(text)
    return tmp_path


def run(checkout: Path, *arguments: str) -> tuple[int, str, dict]:
    """The exit code, all that was printed on stdout, and its last line read as JSON."""
    done = subprocess.run(
        [sys.executable, str(checkout / "scripts" / "_runner.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        check=False,
    )
    last = done.stdout.splitlines()[-1] if done.stdout else "{}"
    return done.returncode, done.stdout + done.stderr, json.loads(last)


def test_a_bench_prints_its_rows_and_ends_with_them_as_json(checkout):
    code, text, result = run(checkout, "bench")
    assert code == 0
    assert "1,234,567" in text
    assert [row["name"] for row in result["rows"]] == ["tell"]
    assert result["rows"][0]["peers"] == {"pykka": 1e5}


def test_a_bench_over_its_budget_fails_the_run_and_says_how_to_repeat_it(checkout):
    (checkout / "scripts" / "benches" / "bad.py").write_text(BENCH % "False")
    code, text, result = run(checkout, "bench", "good", "bad")
    assert code == 1
    assert "again: scripts/bench bad" in text
    assert [row["ok"] for row in result["rows"]] == [True, False]


def test_a_bench_that_raises_or_returns_a_wrong_row_does_not_stop_the_others(checkout):
    (checkout / "scripts" / "benches" / "a_raises.py").write_text("def rows():\n    raise RuntimeError('broke')\n")
    (checkout / "scripts" / "benches" / "b_wrong.py").write_text("def rows():\n    return [{'name': 5}]\n")
    code, _, result = run(checkout, "bench")
    assert code == 1
    assert [(row["name"], row["ok"]) for row in result["rows"]] == [
        ("a_raises", False),
        ("b_wrong", False),
        ("tell", True),
    ]
    assert result["rows"][0]["note"] == "RuntimeError: broke"


@pytest.mark.parametrize(("name", "code"), [("holds", 0), ("judged", 0), ("fails", 1), ("raises", 1)])
def test_a_drill_exits_by_whether_it_held(checkout, name, code):
    done, text, result = run(checkout, "drill", name, "--count", "3", "--seed", "5")
    assert (done, result["ok"], result["drill"], result["count"], result["seed"]) == (code, code == 0, name, 3, 5)
    assert (f"again: scripts/drill {name} --count 3 --seed 5" in text) == (code == 1)


def test_a_drill_that_knows_its_single_failures_prints_those(checkout):
    _, text, _ = run(checkout, "drill", "replays")
    assert "again: scripts/drill replays --count 1 --seed 17\n" in text


def test_a_drill_without_a_seed_draws_one_and_uses_its_own_count(checkout):
    first, second = (run(checkout, "drill", "counted")[2] for _ in range(2))
    assert first["count"] == second["count"] == 7
    assert first["seed"] != second["seed"]


@pytest.mark.parametrize(
    "arguments", [("bench", "goood"), ("drill", "_helper"), ("drill", "hold"), ("drill", "holds", "--count", "0")]
)
def test_wrong_usage_exits_with_2_and_names_what_there_is(checkout, arguments):
    code, text, _ = run(checkout, *arguments)
    assert code == 2
    assert "good" in text or "holds" in text or "--count" in text
