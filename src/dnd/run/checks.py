"""All that can be wrong with a run, looked at in one place before any job starts, and told at once.

A mistake hides no other: what is sound is looked at further, what is not is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dnd.config import load as configuration
from dnd.config import sweep
from dnd.config.load import Config
from dnd.io import documents
from dnd.probe import sources
from dnd.run import contents, requirements


class Checked(NamedTuple):
    """What is sound in the settings of a run, and what is not.

    Attributes
    ----------
    config : config.yaml.
    tables : sweep.tsv and layers.tsv. What they call unknown is a mistake, too, unless the inventory is to be taken.
    mistakes : one line each.
    probes : probe -> digest of the user's files that its images come from, of the probes that were looked at.
    doubts : what is hardly meant so, one line each.
    """

    config: Config
    tables: sweep.Tables
    mistakes: list[str]
    probes: dict[str, str]
    doubts: list[str]


def quickly(values: Mapping[str, object], files: Sequence[str | Path]) -> Checked:
    """Look at values, paths and tables, which every job asks for anew.

    Parameters
    ----------
    values : of config.yaml.
    files : that they come from.
    """
    config, told = configuration.examined(values)
    tables = sweep.examined(config, values)
    return Checked(config, tables, [*_lines(files, told), *tables.mistakes], {}, [])


def thoroughly(values: Mapping[str, object], files: Sequence[str | Path]) -> Checked:
    """Look at all that can be known without torch: also at what files hold, and at what methods need.

    Parameters are those of :func:`quickly`.
    """
    config, told = configuration.examined(values)
    told += contents.misread(config, told)
    told += _store_mistaken(config, told)
    tables = sweep.examined(config, values)
    probes: dict[str, str] = {}
    doubts: list[str] = []
    for name in dict.fromkeys(layer.probe for layer in tables.layers):
        members = config.probes[name].members or [name]
        if all(member in config.probes and not _is_told(f"probes.{member}", told) for member in members):
            try:
                files_of_probe = sources.files(name, config.probes)
            except ValueError as error:
                key, _, message = str(error).partition(": ")
                told.append((key, message))
                continue
            probes[name] = sources.digest(files_of_probe)
            doubts += _empty_shards(name, config, files_of_probe)
    lacking = requirements.missing(config, tables.layers)
    mistakes = [*_slips(files), *_lines(files, told), *tables.mistakes, *lacking]
    return Checked(config, tables, list(dict.fromkeys(mistakes)), probes, doubts)


def _empty_shards(name: str, config: Config, files: sources.Files) -> Iterator[str]:
    shards, most = config.probes[name].shards, sources.most_images(name, config.probes, files)
    if most is not None and shards > most:
        yield f"probes.{name}.shards: {shards} shards of at most {most} images: some are jobs for nothing"


def _lines(files: Sequence[str | Path], told: Sequence[tuple[str, str]]) -> list[str]:
    merged = " + ".join(map(str, files))
    return [f"{merged}: {key}: {message}" for key, message in told]


def _is_told(section: str, told: Sequence[tuple[str, str]]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for key, _ in told)


def _slips(files: Sequence[str | Path]) -> Iterator[str]:
    """What whoever reads the files would not tell: keys that are given twice, numbers that are read otherwise."""
    for file in files:
        try:
            documents.read_json(file) if Path(file).suffix == ".json" else documents.read_yaml(file)
        except documents.DocumentError as error:
            yield from str(error).splitlines()


def _store_mistaken(config: Config, told: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Whether the environment puts the item store into the results folder of the run."""
    chosen = os.environ.get("DND_STORE")
    results = config.results.resolve()
    if chosen and not _is_told("run", told) and results in (Path(chosen).resolve(), *Path(chosen).resolve().parents):
        yield "run", f"$DND_STORE, {chosen}, is or lies in the results folder of the run; choose another"
