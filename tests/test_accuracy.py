"""benchmarks/accuracy.py: its errors are within what it says the tests assert, and it can tell when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("algorithm", ["direct", "depthwise", "winograd", "fft"])
def test_errors_are_within_the_bounds(algorithm: str, capsys: pytest.CaptureFixture[str]) -> None:
    import accuracy

    assert accuracy.main(["--seeds", "1", "--algorithm", algorithm]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + 3 * len(accuracy.LINES[algorithm])
    assert len({line.count("|") for line in printed}) == 1


def test_an_error_too_large_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import accuracy

    correct = accuracy._call
    monkeypatch.setattr(accuracy, "_call", lambda *arguments: correct(*arguments) + 1e-2)
    assert accuracy.main(["--seeds", "1", "--algorithm", "depthwise"]) == 1
    assert "depthwise" in capsys.readouterr().out
