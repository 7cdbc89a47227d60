"""scripts/check_symbols.py BUILD_DIR: no code of one instruction set may be linked into another.

Every global or weak symbol that a per-ISA object defines must lie in its rung's namespace: the linker keeps one copy of
a weak symbol for everybody, and it could be the one compiled for a processor the user does not have. On x86, objects
below v4 must use no zmm register and objects below v3 no ymm register.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

RUNG = re.compile(r"fastconv_kernels_(\w+)\.dir")
REGISTERS = {"v4": (), "v3": ("zmm",), "v2": ("zmm", "ymm"), None: ("zmm", "ymm")}


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rung_of(path: Path) -> str | None:
    """The rung an object is compiled for, or None for the baseline that every processor runs."""
    found = RUNG.search(str(path))
    return found[1] if found else None


def leaks(path: Path, rung: str) -> list[str]:
    """Symbols that other objects could be linked against, and that are not the rung's own."""
    namespace = f"isa_{rung}"
    own = re.compile(rf"_Z(GV|GR|TV|TI|TS|TT|TC|Th\w*_|Z)*N?K?8fastconv{len(namespace)}{namespace}")
    found = []
    for line in run("nm", "--defined-only", "--extern-only", "--format=posix", str(path)).splitlines():
        name, kind = line.split()[:2]
        # AddressSanitizer's registration of globals is no code.
        if not own.match(name) and not name.startswith(("__odr_asan", "DW.ref.")):
            found.append(f"{path}: {kind} {run('c++filt', name).strip()}")
    return found


def wide_registers(path: Path, rung: str | None) -> list[str]:
    banned = REGISTERS[rung]
    if not banned:
        return []
    code = run("objdump", "--disassemble", "--no-show-raw-insn", str(path))
    return [f"{path}: uses {name}" for name in banned if f"%{name}" in code]


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    objects = sorted(p for p in Path(sys.argv[1]).rglob("*.o") if "CMakeFiles" in p.parts and "tests" not in p.parts)
    kernels = [p for p in objects if rung_of(p)]
    if not kernels:
        print(f"{sys.argv[1]} holds no per-ISA object")
        return 2
    problems = [line for path in kernels for line in leaks(path, rung_of(path) or "")]
    if any(rung_of(p) == "v4" for p in kernels):
        problems += [line for path in objects for line in wide_registers(path, rung_of(path))]
    print("\n".join(problems) or f"{len(kernels)} kernel objects keep to their namespaces")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
