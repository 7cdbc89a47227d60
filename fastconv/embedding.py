"""Where the C++ and C interfaces lie: headers, libraries, CMake package, pkg-config file.

They are installed beside the compiled core, which in an editable installation is not where the Python files are.
"""

from __future__ import annotations

from pathlib import Path

from fastconv import _core

_INSTALLED = Path(_core.__file__).parent


def get_include() -> str:
    """The folder to give to a compiler as ``-I``: it holds ``fastconv/conv.hpp`` and the other headers."""
    return str(_INSTALLED / "include")


def get_library_dir() -> str:
    """The folder of the shared and the static library, for ``-L`` and for the run path of what is linked."""
    return str(_INSTALLED / "lib")


def get_cmake_dir() -> str:
    """The folder of ``fastconvConfig.cmake``, for ``fastconv_DIR`` or ``CMAKE_PREFIX_PATH``."""
    return str(_INSTALLED / "lib" / "cmake" / "fastconv")


def get_pkgconfig_dir() -> str:
    """The folder of ``fastconv.pc``, for ``PKG_CONFIG_PATH``."""
    return str(_INSTALLED / "lib" / "pkgconfig")
