"""`FilmIndex`: every film of a folder tree with its patient, label and split.

Whatever is not a film is listed in `skipped` with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.films.finder import Film, find_films, is_pair_folder, pair_folders
from xraysr.films.manifest import load_manifest
from xraysr.films.patients import ANONYMOUS, SPLITS, shared_patients, split_of
from xraysr.films.table import PatientTable
from xraysr.films.walk import Skipped
from xraysr.io import READABLE
from xraysr.pair import Pair

ALL_SHARES = (0.75, 0.10, 0.15)
VAL_FROM_TRAIN = (0.9, 0.1, 0.0)
KERMANY_NUMBERS = (
    "In Kermany's set the person numbers of the train and test folders overlap: some stand for "
    "different people, some for the same, and nothing published says which. "
)


@dataclass(frozen=True)
class FilmIndex:
    """The films below `root`, sorted by path.

    Args:
        root: The folder that was read.
        films: All films, each in one split.
        skipped: Files left out, with reasons.
        val_drawn: Whether val was drawn from the train folder, by patient.
    """

    root: Path
    films: tuple[Film, ...]
    skipped: tuple[Skipped, ...]
    val_drawn: bool = False

    def of(self, split: str) -> tuple[Film, ...]:
        """The films of "train", "val" or "test"; may be empty."""
        return tuple(film for film in self.films if film.split == split)

    def require(self, split: str) -> tuple[Film, ...]:
        """The films of `split`, or a `UserError` with the counts where there are none."""
        if films := self.of(split):
            return films
        counts = ", ".join(f"{len(self.of(name))} in {name}" for name in SPLITS)
        raise UserError(
            f"No {split} films under {self.root}: {counts} "
            f"({len({film.patient for film in self.films})} patients). Put films into a "
            f"{split} folder, or add patients; resplit=True splits a set in folders anew."
        )

    def summary(self) -> str:
        """Films, patients and labels per split, and `remarks`, as lines."""
        return "\n".join([*self.splits(), *self.remarks()])

    def splits(self) -> list[str]:
        """A line for each split: its films, patients and labels."""
        lines = []
        for split in SPLITS:
            films = self.of(split)
            labels = Counter(film.label for film in films if film.label)
            text = f"{split}: {len(films)} films of {len({f.patient for f in films})} patients"
            if labels:
                text += " (" + ", ".join(f"{n} {name}" for name, n in sorted(labels.items())) + ")"
            if split == "val" and self.val_drawn:
                text += ", drawn from train"
            lines.append(text)
        return lines

    def remarks(self) -> list[str]:
        """What told whose the films are, what was skipped and why, and what looks wrong."""
        sources = Counter(film.told_by for film in self.films)
        reasons = Counter(each.reason for each in self.skipped)
        return [
            *(f"patients: told by {each} ({_films(n)})" for each, n in sources.most_common()),
            *(f"skipped: {_files(n)}, {why}" for why, n in sorted(reasons.items())),
            *(f"warning: {each}" for each in warnings(self.films)),
        ]


def warnings(films: Sequence[Film]) -> list[str]:
    """What looks wrong with the patients of `films`, so that a split would not be by patient."""
    patients = Counter(film.patient for film in films)
    if not patients:
        return []
    found = []
    most, count = patients.most_common(1)[0]
    if len(films) > 2 and len(patients) == 1:
        found.append(f"all {len(films)} films are of one patient ({most})")
    elif len(films) > 9 and count > len(films) / 2:
        found.append(f"one patient ({most}) has {count} of {len(films)} films")
    if anonymous := [name for name in patients if ANONYMOUS.match(name)]:
        count = sum(patients[name] for name in anonymous)
        names = ", ".join(sorted(anonymous)[:3])
        found.append(
            f"{_films(count)} have an id that names nobody ({names}): they count as one patient"
        )
    if len(films) > 2 and all(film.told_by == "file names" for film in films):
        found.append(
            "nothing tells which films are of one patient, so that each name counts as one: name "
            "a table (patients) if there is one"
        )
    folders = Counter(film.path.parent for film in films)
    if 9 < len(films) == len(patients) and 2 < len(folders) < len(films) <= 10 * len(folders):
        found.append(
            f"each of {len(films)} films has a patient of its own, though they lie in "
            f"{len(folders)} folders of a few: folders may be patients"
        )
    notes = Counter((film.told_by, film.note) for film in films if film.note)
    return found + [f"{_films(n)} ({source}): {note}" for (source, note), n in notes.items()]


def index_films(
    root: Path,
    *,
    resplit: bool = False,
    allow_shared_patients: bool = False,
    patients: str | Path | None = None,
    patient_column: str | None = None,
    path_column: str | None = None,
) -> FilmIndex:
    """Finds the films below `root`, at any depth, and gives each a patient, a label and a split.

    Folders named train, val (valid, validation) and test are honoured; without a val folder, 10 %
    of the train patients become val. Without any of them, or with `resplit`, all films are merged
    and 75/10/15 % of the patients become train/val/test.

    Args:
        root: A tree in the layout `{train,val,test}/CLASS/FILM`, in classes, flat, or one pair
            folder that `xraysr prepare` wrote.
        resplit: Whether to merge the split folders and split by patient.
        allow_shared_patients: Whether to accept a patient in two split folders; a folder that
            was prepared so is accepted.
        patients: CSV file that says whose each film is; films it leaves out are skipped. Without
            one, the DICOM header, the layout, or a guess from the paths says so.
        patient_column: Its column of patients; found by itself in the tables of public sets.
        path_column: Its column of paths or names of films; likewise.

    Raises:
        UserError: if `root` has no films, shares patients between split folders, or has one
            patient where a split is needed; or if the table cannot be used.
    """
    films, skipped = read_films(root, patients, patient_column, path_column)
    if not (allow_shared_patients or resplit):
        refuse_shared(root, films)
    return split_films(root, films, skipped, resplit)


def read_films(
    root: Path,
    patients: str | Path | None = None,
    patient_column: str | None = None,
    path_column: str | None = None,
    seen: Callable[[Path], None] = lambda path: None,
) -> tuple[list[Film], list[Skipped]]:
    """The films below `root` before they are split, and what is skipped; see `index_films`."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"The data folder must be an existing folder. Received: {root}")
    if pairs := pair_folders(root):
        raise UserError(
            f"{root} holds prepared pairs ({', '.join(pairs)}). Name one of them, "
            f"such as {root / pairs[0]}."
        )
    table = PatientTable.read(patients, patient_column, path_column) if patients else None
    films, skipped = find_films(root, table, seen=seen)
    if not films:
        reasons = Counter(item.reason for item in skipped)
        others = "; ".join(f"{_files(n)}, {why}" for why, n in reasons.items()) or "it is empty"
        raise UserError(
            f"No films under {root}: {others}. Films are {', '.join(READABLE[:-1])} and "
            f"{READABLE[-1]} files, whatever their names."
        )
    return films, skipped


def index_pair_folder(dst: Path, pair: Pair, **options: Any) -> FilmIndex:
    """The films that `xraysr prepare` wrote for `pair` under `dst`.

    Args:
        dst: The folder that `prepare` wrote.
        pair: The sizes.
        **options: As `index_films` takes them.

    Raises:
        UserError: if `dst` does not hold that pair; the message names those it holds.
    """
    dst = Path(dst)
    folder = dst / pair.folder
    if not is_pair_folder(folder):
        present = ", ".join(pair_folders(dst)) if dst.is_dir() else ""
        raise UserError(
            f"{dst} holds no prepared films for the pair {pair} (no folder {pair.folder}). "
            f"It holds: {present or 'no pair'}. Write them with: "
            f"xraysr prepare SRC {dst} --pair {pair}"
        )
    return index_films(folder, **options)


def split_films(
    root: Path, films: list[Film], skipped: list[Skipped], resplit: bool = False
) -> FilmIndex:
    """The films below `root` with their splits, as `index_films` describes.

    Raises:
        UserError: if there is one patient only where a split is needed.
    """
    folders = {film.split for film in films if film.split}
    if resplit or not folders:
        if len({film.patient for film in films}) == 1:
            raise UserError(
                f"Only one patient under {root} ({films[0].patient}, {len(films)} films): at least "
                "3 are needed to split by patient, and 20 or more to give every split some. "
                "Films already split can lie in folders named train and test."
            )
        films = [replace(film, split=split_of(film.patient, ALL_SHARES)) for film in films]
        return FilmIndex(root, tuple(films), tuple(skipped))
    reason = "outside the train, val and test folders"
    skipped = skipped + [Skipped(film.path, reason) for film in films if not film.split]
    films = [film for film in films if film.split]
    drawn = "val" not in folders and "train" in folders
    if drawn:
        films = [
            replace(film, split=split_of(film.patient, VAL_FROM_TRAIN))
            if film.split == "train"
            else film
            for film in films
        ]
    return FilmIndex(root, tuple(films), tuple(skipped), val_drawn=drawn)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _films(count: int) -> str:
    return "1 film" if count == 1 else f"{count} films"


def refuse_shared(root: Path, films: Sequence[Film]) -> None:
    """Raises `UserError` for patients in two split folders, unless it was prepared with them."""
    patients = {split: {f.patient for f in films if f.split == split} for split in SPLITS}
    clashes = []
    for one, other in combinations(SPLITS, 2):
        if both := shared_patients(patients[one], patients[other]):
            names = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
            clashes.append(f"{one} and {other} share {len(both)} patients ({names})")
    if clashes and not _prepared_with_shared(root):
        kermany = KERMANY_NUMBERS if any("person" in clash for clash in clashes) else ""
        raise UserError(
            f"Each patient must be on one side of the split; under {root} {'; '.join(clashes)}. "
            f"Scores would be too good. {kermany}Pass resplit=True to merge the folders and "
            "split by patient, or allow_shared_patients=True to take the folders as they are."
        )


def _prepared_with_shared(root: Path) -> bool:
    manifest = load_manifest(root.parent) if is_pair_folder(root) else None
    return manifest is not None and bool(manifest.settings.get("allow_shared_patients"))
