"""Command line of fastconv: one subcommand a task, each imported only when it is asked for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import fastconv
from fastconv.arguments import folder, positive
from fastconv.extras import MissingExtra


def _bench(arguments: argparse.Namespace) -> int:
    from fastconv.bench import job

    options = job.Options(
        out=arguments.out, quick=arguments.quick, threads=arguments.threads, parts=tuple(arguments.rows)
    )
    code = job.run(options)
    if code or not arguments.train:
        return code
    from fastconv.bench import training

    return training.run(arguments.out, arguments.quick, arguments.threads)


def _info(arguments: argparse.Namespace) -> int:
    config = fastconv.show_config()
    if arguments.json:
        print(json.dumps(config, indent=2))
        return 0
    width = max(map(len, config))
    for key, value in config.items():
        print(f"{key:{width}}  {', '.join(value) if isinstance(value, list) else value}")
    return 0


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from fastconv.bench.parts import PARTS

    place = "where report.md, results.json and the pictures go (default: ./fastconv-bench)"
    parser.add_argument("--out", type=folder, default=Path("fastconv-bench"), metavar="FOLDER", help=place)
    parser.add_argument("--quick", action="store_true", help="the same job on small sizes, in a few seconds")
    threads = "threads of both sides (default: the processors this process may use)"
    parser.add_argument("--threads", type=positive, metavar="N", help=threads)
    parts = f"only these parts of the job: {', '.join(PARTS)}"
    parser.add_argument("--rows", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=parts)
    training = "then train a CNN and an MLP of equal parameters on real images, for equal epochs and for equal time"
    parser.add_argument("--train", action="store_true", help=training)
    parser.set_defaults(run=_bench)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_info)


def _add_train(parser: argparse.ArgumentParser) -> None:
    from fastconv.train.command import add_arguments

    add_arguments(parser)


class _Print(argparse.Action):
    """Prints a constant and exits: as "version" does, but never broken into lines."""

    def __init__(self, option_strings: Sequence[str], dest: str, const: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, const=const, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(self.const)
        parser.exit()


_PATHS = {
    "--includes": (f"-I{fastconv.get_include()}", "the compiler's flag for the C++ and C headers"),
    "--libdir": (fastconv.get_library_dir(), "the folder of the libraries"),
    "--cmakedir": (fastconv.get_cmake_dir(), "the folder of the CMake package, for fastconv_DIR"),
    "--pkgconfigdir": (fastconv.get_pkgconfig_dir(), "the folder of fastconv.pc, for PKG_CONFIG_PATH"),
}

_COMMANDS = {
    "bench": ("convolution against the dense layer, measured on a photograph", _add_bench),
    "train": ("train a network on real images, test it, and write the model, its history and pictures", _add_train),
    "info": ("how this copy was built and what it runs on", _add_info),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastconv", description="Convolution on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    for option, (path, summary) in _PATHS.items():
        parser.add_argument(option, action=_Print, const=path, help=f"print {summary}, and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, add_arguments) in _COMMANDS.items():
        add_arguments(commands.add_parser(name, help=summary, description=summary))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for a job that failed, 2 for bad usage, 130 for Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (MissingExtra, OSError) as error:  # no such package; a folder that cannot be written to, a full disk
        print(f"fastconv {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
