"""The C++ and C interfaces of the installed package: found, built against and run by programs of other projects."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"
SOBEL = np.array([[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]], [[[-1, -2, -1], [0, 0, 0], [1, 2, 1]]]], np.float32)

ABI_PROGRAM = """#include <fastconv/fastconv.h>
int main(void) { return fastconv_abi_version() != FASTCONV_ABI_VERSION; }
"""
VERSION_PROGRAM = """#include <fastconv/fastconv.h>
#include <stdio.h>
int main(void) { puts(fastconv_version()); return 0; }
"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="names of files and flags are those of Unix")


def tool(*names: str) -> str:
    """A program on the path or beside this Python; the test is skipped where there is none."""
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    for name in names:
        if found := shutil.which(name, path=folders):
            return found
    pytest.skip(f"none of {', '.join(names)} is installed")


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def cmake_configuration(source: Path, build: Path, *options: str) -> list[str]:
    """The command that configures; for Ninja, which the tests' requirements bring along, where there is no make."""
    command = [tool("cmake"), "-S", str(source), "-B", str(build), *options]
    if os.name == "posix" and not shutil.which("make"):
        command += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
    return command


def cmake_build(source: Path, build: Path, *options: str) -> Path:
    tool("c++", "g++", "clang++")
    run(*cmake_configuration(source, build, "-DCMAKE_BUILD_TYPE=Release", *options))
    run(tool("cmake"), "--build", build)
    return build


def project(folder: Path, cmake: str, **files: str) -> Path:
    """A CMake project of these texts; in the names of files ``__`` stands for the dot."""
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.18)\n{cmake}")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_folders_exist() -> None:
    include, libraries = Path(fc.get_include()), Path(fc.get_library_dir())
    assert {"conv.hpp", "pool.hpp", "pad.hpp", "runtime.hpp", "tensor.hpp", "fastconv.h", "export.h"} <= {
        header.name for header in (include / "fastconv").iterdir()
    }
    assert len([file for file in libraries.iterdir() if file.is_file() and "fastconv" in file.name]) >= 2
    assert (Path(fc.get_cmake_dir()) / "fastconvConfig.cmake").is_file()
    assert (Path(fc.get_cmake_dir()) / "fastconvConfigVersion.cmake").is_file()
    assert (Path(fc.get_pkgconfig_dir()) / "fastconv.pc").is_file()


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--includes", f"-I{fc.get_include()}"),
        ("--libdir", fc.get_library_dir()),
        ("--cmakedir", fc.get_cmake_dir()),
        ("--pkgconfigdir", fc.get_pkgconfig_dir()),
    ],
)
def test_command_line(option: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([option])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{expected}\n"


@posix_only
def test_only_the_interface_is_visible() -> None:
    nm = tool("nm")
    (library,) = Path(fc.get_library_dir()).glob("libfastconv.so")
    names = [line.split()[-1] for line in run(nm, "-D", "--defined-only", library).splitlines()]
    assert "fastconv_conv_forward" in names
    assert any(name.startswith("_ZN8fastconv12conv_forward") for name in names)
    assert [name for name in names if not name.startswith(("fastconv_", "_ZN8fastconv", "_ZNK8fastconv"))] == []
    assert [name for name in names if "isa_v" in name or "Arena" in name] == []


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or "Clang" in str(fc.show_config()["compiler"]),
    reason="GNU's compiler and linker make one object of it, others an archive of all",
)
def test_static_library_hides_what_is_inside() -> None:
    nm = tool("nm")
    listed = run(nm, "--defined-only", "--extern-only", Path(fc.get_library_dir()) / "libfastconv.a")
    names = [line.split()[-1] for line in listed.splitlines() if len(line.split()) == 3]
    assert "fastconv_conv_forward" in names
    assert [name for name in names if "isa_v" in name or "Arena" in name] == []


@posix_only
def test_headers_stand_alone(tmp_path: Path) -> None:
    compiler = tool("c++", "g++", "clang++")
    flags = [
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wshadow",
        "-Werror",
        "-fsyntax-only",
        f"-I{fc.get_include()}",
    ]
    for header in sorted((Path(fc.get_include()) / "fastconv").glob("*.h*")):
        source = tmp_path / f"{header.stem}.cpp"
        source.write_text(f'#include "fastconv/{header.name}"\n#include "fastconv/{header.name}"\n')
        run(compiler, *flags, source)
    c = tmp_path / "c99.c"
    c.write_text(ABI_PROGRAM)
    run(tool("cc", "gcc", "clang"), "-std=c99", *flags[1:], c)


def write_pnm(path: Path, picture: np.ndarray, maximum: int) -> None:
    height, width = picture.shape[:2]
    kind = b"P6" if picture.ndim == 3 else b"P5"
    path.write_bytes(kind + b"\n# a comment\n%d %d\n%d\n" % (width, height, maximum))
    with path.open("ab") as file:
        file.write(picture.astype(">u2" if maximum > 255 else "u1").tobytes())


def read_pgm(path: Path) -> np.ndarray:
    kind, sides, maximum, samples = path.read_bytes().split(b"\n", 3)
    assert kind == b"P5"
    width, height = map(int, sides.split())
    return np.frombuffer(samples, ">u2" if int(maximum) > 255 else "u1").reshape(height, width)


def edges(picture: np.ndarray, maximum: int) -> np.ndarray:
    """What the example computes, by the Python functions."""
    planes = np.moveaxis(np.atleast_3d(picture), -1, 0)[:, None].astype(np.float32)
    x, y = np.moveaxis(fc.conv2d(planes, SOBEL, padding=1, padding_mode="replicate"), 1, 0)
    return np.minimum(np.floor(np.sqrt(x * x + y * y)), maximum).max(0)


@posix_only
def test_cpp_example(tmp_path: Path, rng: np.random.Generator) -> None:
    build = cmake_build(EXAMPLES / "cpp", tmp_path / "build", f"-Dfastconv_DIR={fc.get_cmake_dir()}")
    run(tool("cmake"), "--build", build, "--target", "edges_static")
    for name, shape, maximum in [("grey", (37, 53), 255), ("colour", (24, 31, 3), 255), ("deep", (11, 5), 1000)]:
        picture = rng.integers(0, maximum + 1, shape)
        write_pnm(tmp_path / "in.pnm", picture, maximum)
        for program in ("edges", "edges_static"):
            run(build / program, tmp_path / "in.pnm", tmp_path / "out.pgm")
            np.testing.assert_array_equal(read_pgm(tmp_path / "out.pgm"), edges(picture, maximum), err_msg=name)
    plain = "P2 3 2 9\n# rows\n0 9 0\n9 0 5\n"
    (tmp_path / "in.pnm").write_text(plain)
    run(build / "edges", tmp_path / "in.pnm", tmp_path / "out.pgm")
    np.testing.assert_array_equal(read_pgm(tmp_path / "out.pgm"), edges(np.array([[0, 9, 0], [9, 0, 5]]), 9))
    for text, message in [
        ("P4 1 1 ", "is not a PGM"),
        ("P2 2 2 9 1 2 3", "a number is missing"),
        ("P5 2 2 255\nab", "too soon"),
        ("P2 1 1 9 10", "above its maximum"),
    ]:
        (tmp_path / "in.pnm").write_text(text)
        done = subprocess.run([build / "edges", tmp_path / "in.pnm", tmp_path / "o"], capture_output=True, text=True)
        assert done.returncode == 1
        assert message in done.stderr


def learned(steps: int) -> list[str]:
    """The example's numbers, by the Python functions."""
    i = np.arange(4 * 24 * 24)
    x = ((i * 7 + i * i % 31) % 16 - 8.0).reshape(4, 1, 24, 24)
    truth = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]).reshape(1, 1, 3, 3) / 16
    options: dict[str, Any] = {"padding": 1, "padding_mode": "circular"}
    wanted, kernel, lines = fc.conv2d(x, truth, **options), np.zeros((1, 1, 3, 3)), []
    for step in range(steps + 1):
        error = fc.conv2d(x, kernel, **options) - wanted
        if step % 10 == 0:
            lines.append(f"step {step} error {(error**2).mean():.6e}")
        kernel -= 0.01 * 2 / x.size * fc.conv2d_grad_weight(error, x, 3, **options)
    return lines + [" ".join(f"{value:.9f}" for value in row) for row in kernel[0, 0]]


@posix_only
def test_c_example(tmp_path: Path) -> None:
    make, pkg_config = tool("make"), tool("pkg-config", "pkgconf")
    tool("cc", "gcc", "clang")
    folder = tmp_path / "c"
    shutil.copytree(EXAMPLES / "c", folder)
    run(make, "-C", folder, f"PYTHON={sys.executable}", f"PKG_CONFIG={pkg_config}")
    printed = run(folder / "learn", "60").splitlines()
    expected = learned(60)
    assert [line.split()[:2] for line in printed[:-3]] == [line.split()[:2] for line in expected[:-3]]
    errors, wanted_errors = ([float(line.split()[-1]) for line in lines[:-3]] for lines in (printed, expected))
    np.testing.assert_allclose(errors, wanted_errors, rtol=1e-5)
    kernel, wanted = (np.array([line.split() for line in lines[-3:]], float) for lines in (printed, expected))
    np.testing.assert_allclose(kernel, wanted, atol=2e-9)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 100


@posix_only
def test_pkg_config_knows_the_static_library(tmp_path: Path) -> None:
    pkg_config = tool("pkg-config", "pkgconf")
    environment = {**os.environ, "PKG_CONFIG_PATH": fc.get_pkgconfig_dir()}
    assert run(pkg_config, "--modversion", "fastconv", env=environment).strip() == fc.__version__
    folder = Path(run(pkg_config, "--variable=libdir", "fastconv", env=environment).strip())
    assert folder.resolve() == Path(fc.get_library_dir()).resolve()
    private = run(pkg_config, "--static", "--libs-only-l", "fastconv", env=environment).split()
    source = tmp_path / "version.c"
    source.write_text(VERSION_PROGRAM)
    libraries = [flag for flag in private if flag != "-lfastconv"]
    command = [source, f"-I{fc.get_include()}", folder / "libfastconv.a", *libraries, "-o", tmp_path / "version"]
    run(tool("cc", "gcc", "clang"), *command)
    assert run(tmp_path / "version").strip() == fc.__version__


def test_pkgconf_finds_it_without_a_path() -> None:
    """The package ``pkgconf`` of PyPI asks installed packages for their folders."""
    if importlib.util.find_spec("pkgconf") is None:
        pytest.skip("pkgconf is not installed")
    assert run(sys.executable, "-m", "pkgconf", "--modversion", "fastconv").strip() == fc.__version__


def test_python_example() -> None:
    before, smooth, brightest = (
        np.array([line.split() for line in block.splitlines()], np.float32)
        for block in run(sys.executable, EXAMPLES / "python" / "blur.py").strip().split("\n\n")
    )
    taps = np.array([1, 2, 1], np.float32) / 4
    options: dict[str, Any] = {"padding": "same", "padding_mode": "reflect"}
    blurred = fc.conv2d(before[None], np.outer(taps, taps)[None, None], **options)
    np.testing.assert_allclose(smooth, blurred[0], rtol=1e-5)
    np.testing.assert_allclose(brightest, fc.max_pool2d(blurred, 2)[0], rtol=1e-5)


@posix_only
def test_project_in_c_alone(tmp_path: Path) -> None:
    cmake = (
        "project(user LANGUAGES C)\nfind_package(fastconv 0.1 REQUIRED)\n"
        "add_executable(user main.c)\ntarget_link_libraries(user PRIVATE fastconv::fastconv)\n"
        "add_executable(fixed main.c)\ntarget_link_libraries(fixed PRIVATE fastconv::static)\n"
    )
    folder = project(tmp_path / "user", cmake, main__c=ABI_PROGRAM)
    build = cmake_build(folder, tmp_path / "build", f"-Dfastconv_DIR={fc.get_cmake_dir()}")
    run(build / "user")
    run(build / "fixed")


@posix_only
def test_another_version_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "user", "project(user LANGUAGES CXX)\nfind_package(fastconv 99 REQUIRED)\n")
    command = cmake_configuration(folder, tmp_path / "build", f"-Dfastconv_DIR={fc.get_cmake_dir()}")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"version: {fc.__version__}" in done.stderr


@posix_only
def test_subdirectory_leaks_nothing(tmp_path: Path) -> None:
    """Configured only: what the parent sees of a project that is added to it."""
    cmake = f"""project(parent LANGUAGES CXX)
add_subdirectory({EXAMPLES.parent} fastconv)
foreach(name CMAKE_CXX_FLAGS CMAKE_CXX_STANDARD CMAKE_BUILD_TYPE CMAKE_POSITION_INDEPENDENT_CODE
    CMAKE_CXX_VISIBILITY_PRESET)
  if(NOT "${{${{name}}}}" STREQUAL "")
    message(FATAL_ERROR "${{name}} is ${{${{name}}}}")
  endif()
endforeach()
get_property(options DIRECTORY PROPERTY COMPILE_OPTIONS)
get_property(definitions DIRECTORY PROPERTY COMPILE_DEFINITIONS)
if(options OR definitions OR FASTCONV_TESTS OR FASTCONV_PYTHON OR FASTCONV_INSTALL OR TARGET fastconv_tests)
  message(FATAL_ERROR "leaked: ${{options}} ${{definitions}}")
endif()
add_executable(shared main.cpp)
target_link_libraries(shared PRIVATE fastconv::fastconv)
add_executable(fixed main.cpp)
target_link_libraries(fixed PRIVATE fastconv::static)
"""
    source = "#include <fastconv/runtime.hpp>\nint main() { return fastconv::num_threads() < 1; }\n"
    folder = project(tmp_path / "parent", cmake, main__cpp=source)
    run(*cmake_configuration(folder, tmp_path / "build"))
