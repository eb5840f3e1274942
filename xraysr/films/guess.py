"""Whose films are these, in a layout nobody knows: a guess from what paths have in common.

An id that stands in many paths and differs between folders is a better guess than a file's own
name. Where several would do, the one that groups more films wins: that can cost a few films of
the test set, but never puts a patient on both sides.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from xraysr.films.walk import stem_of

MOST = 0.75  # of the films a rule must speak of
WORDS = "patients?|pat|pt|pid|subjects?|subj|sub|persons?|participants?|cases?|mrn|id"
KEYED = re.compile(rf"(?<![a-z])(?:{WORDS})[ _.#-]{{0,2}}\d+|^p[ _-]?\d+", re.IGNORECASE)
VIEW = re.compile(
    r"[ _.-]+(?:pa|ap|lat|lateral|frontal|oblique|left|right|l|r|cc|mlo|view)$", re.IGNORECASE
)
PREFIX = re.compile(r"[^\d]*\d+[A-Za-z]?(?=[ _.()-]|$)")
NUMBER = re.compile(r"\d[\d.-]*")
DATE = re.compile(
    r"(?:19|20)\d\d([._-]?(?:0[1-9]|1[0-2])([._-]?[0-3]\d)?)?|\d\d[._-]\d\d[._-]\d{4}"
)
NO_PERSON = re.compile(
    r"(?:stud(?:y|ies)|series|ses|sessions?|visits?|scans?|exams?|views?|images?|img|films?|batch|"
    r"parts?|folds?|sets?|shards?|sites?|cent(?:er|re)s?|hospitals?|scanners?|dis[ck]s?|cd|dvd|"
    r"vol(?:ume)?s?|years?|months?|grades?|class|levels?|stages?|scores?|kl|bi-?rads|types?|groups?|"
    r"versions?|v|data|datasets?|covid|size|st|se|ser|png|jpe?g|dicom)?s?[ _.-]*\d{0,3}"
    r"|\d+x\d+|\d{1,2} ?[_-] ?[a-z].*",
    re.IGNORECASE,
)
CLASSES = re.compile(
    r"(?:ab)?normal.*|.*pneumonia.*|.*covid.*|tb|tuberculosis|bacteria.*|vir(?:al|us).*|healthy|"
    r"positive|negative|fracture.*|no[ _-].*|lung[ _-].*|.*opacity|effusion|mass|nodule|edema|"
    r"consolidation|atelectasis|cardiomegaly|infiltration|emphysema|fibrosis|hernia|pneumothorax|"
    r"pleural.*|images?|dicoms?|data|pngs?|jpe?gs?|films?|frontal|lateral|pa|ap|left|right|"
    r"benign|malignant|train.*|val.*|test.*",
    re.IGNORECASE,
)


class Guess(NamedTuple):
    """An id, what told it, and how many folders down it stands (None: in the name)."""

    patient: str
    told_by: str
    folders: int | None


def guess_patients(paths: Sequence[PurePath]) -> list[Guess]:
    """A guess for each of `paths`, taken below the folder of films."""
    rules = (_keyed, _folder, _name_prefix)
    for rule in rules if len(paths) > 1 else ():
        found = rule(paths)
        if found is None or sum(each is not None for each in found) < MOST * len(paths):
            continue
        rest = iter(guess_patients([p for p, g in zip(paths, found, strict=True) if g is None]))
        return [guess or next(rest) for guess in found]
    return [Guess(stem_of(path.name), "file names", None) for path in paths]


def _keyed(paths: Sequence[PurePath]) -> list[Guess | None] | None:
    """`patient_12`, `subject3`, `case 7`, `MRN0042` or `p001`, anywhere in the path."""
    found: list[Guess | None] = []
    for path in paths:
        matches = ((n, match[0]) for n, p in enumerate(path.parts) if (match := KEYED.search(p)))
        place, text = next(matches, (0, ""))
        inside = place < len(path.parts) - 1
        where = "folder names" if inside else "file names"
        found.append(
            Guess(text, f"{where} such as {text}", place if inside else None) if text else None
        )
    if len({guess.patient for guess in found if guess}) < 2:
        return None
    example = next(guess.told_by for guess in found if guess)
    return [guess and guess._replace(told_by=example) for guess in found]


def _folder(paths: Sequence[PurePath]) -> list[Guess | None] | None:
    """The highest folder that most paths have and that may be a patient's.

    Named by a number or code, unless it is that of a study, a date or a class; or by anything,
    where there are many with few films each, or with files of the same names.
    """
    stems = defaultdict(set)
    for path in paths:
        stems[stem_of(path.name).lower()].add(path.parent)
    repeated = sum(len(folders) for folders in stems.values() if len(folders) > 1)
    many = 3 if repeated >= MOST * len(paths) else 5
    for place in range(max(len(path.parts) for path in paths) - 1):
        names = [path.parts[place] if place < len(path.parts) - 1 else "" for path in paths]
        for fits, fewest, films in ((_is_code, 2, 50), (_is_no_class, many, 10)):
            counts = Counter(name for name in names if name and fits(name))
            if counts.total() < MOST * len(paths) or len(counts) < fewest:
                continue
            grades = all(len(name) == 1 for name in counts)  # folders 0 to 4 are classes
            if counts.total() <= len(counts) * (5 if grades else films):
                told_by = f"folder names such as {min(counts)}"
                return [Guess(name, told_by, place) if name in counts else None for name in names]
    return None


def _is_code(name: str) -> bool:
    if DATE.fullmatch(name) or not any(letter.isdigit() for letter in name):
        return False
    return name.isdigit() or not NO_PERSON.fullmatch(name)


def _is_no_class(name: str) -> bool:
    return not (CLASSES.fullmatch(name) or NO_PERSON.fullmatch(name) or DATE.fullmatch(name))


def _name_prefix(paths: Sequence[PurePath]) -> list[Guess | None] | None:
    """What names begin with, up to their first number or a view, where films share it."""
    found: list[str] = []
    for path in paths:
        stem = stem_of(path.name)
        match = PREFIX.match(stem)
        if match is None and (view := VIEW.search(stem)):
            found.append(stem[: view.start()])
            continue
        number = NUMBER.search(match[0]) if match else None
        found.append(match[0] if match and number and not DATE.fullmatch(number[0]) else "")
    counts = Counter(filter(None, found))
    shared = sum(count for count in counts.values() if count > 1)
    if len(counts) < 2 or shared < len(paths) / 5 or max(counts.values()) > len(paths) / 2:
        return None
    told_by = f"file names that begin alike, such as {counts.most_common(1)[0][0]}"
    return [Guess(text, told_by, None) if text else None for text in found]
