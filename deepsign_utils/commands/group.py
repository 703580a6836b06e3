"""Commands and their groups, so that ``--help`` reads like a table of contents."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Run = Callable[[argparse.Namespace], int | None]


class Argument(NamedTuple):
    """What argparse is told of an argument."""

    names: tuple[str, ...]
    settings: dict[str, Any]

    def but(self, **settings: Any) -> Argument:
        """The same argument with other settings."""
        return Argument(self.names, self.settings | settings)


def argument(*names: str, **settings: Any) -> Argument:
    """An argument of a command, as ``ArgumentParser.add_argument`` takes it."""
    return Argument(names, settings)


class _Once(argparse.Action):
    """Keeps an option's value, and refuses a second one, as either could be meant."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = vars(namespace).setdefault("_given", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice: which one is meant?")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


QUIET = argument("-q", "--quiet", action="store_true", help="no progress bars")


@dataclass(frozen=True)
class Command:
    """A command: what it takes, and what runs it."""

    name: str
    help: str
    arguments: tuple[Argument, ...]
    run: Run
    stopped: int = 1
    """Its exit status where it could not end."""
    packages: str = "study"
    """The extra of the package with what it imports."""
    threads: bool = True
    """Whether NumPy's own threads serve it: the encoder's are onnxruntime's."""
    keeps: bool = False
    """Whether what it finished before it was interrupted is kept."""

    def add_to(self, parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Let the command line know it; the docstring of what runs it is its description."""
        parser = parsers.add_parser(self.name, help=self.help, description=self.run.__doc__)
        # Before or after the command; unset here, so that it undoes nothing.
        for names, settings in (QUIET.but(default=argparse.SUPPRESS), *self.arguments):
            once = {"action": _Once} if names[0].startswith("-") else {}
            parser.add_argument(*names, **once | settings)
        parser.set_defaults(command=self)


@dataclass
class Group:
    """Commands under one heading of ``--help``."""

    title: str
    commands: list[Command] = field(default_factory=list)

    def command(self, help: str, *arguments: Argument, **more: Any) -> Callable[[Run], Run]:
        """Register what runs a command, ``_<name>``, with its arguments and fields of `Command`."""

        def register(run: Run) -> Run:
            self.commands.append(Command(run.__name__.strip("_"), help, arguments, run, **more))
            return run

        return register
