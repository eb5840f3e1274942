"""How public sets of radiographs and exports of viewers name their files, and whose they are.

Each layout is told from a film's own path, so that other films never change the answer.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

STUDY_ONLY = "the path names the study, not the patient, who may have several: give the set's table"
FILM_ONLY = "the name tells films apart, not patients, who may have several: give the set's table"
UID = r"\d+(?:\.\d+){5,}"
HEX = r"[0-9a-f]{32}"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Layout(NamedTuple):
    """One way to lay films out.

    Args:
        name: Of the data set or viewer.
        pattern: Searched in the path below the folder of films, with forward slashes; group 1 is
            the patient's id, a group `label` the class.
        note: What the path cannot tell.
    """

    name: str
    pattern: re.Pattern[str]
    note: str = ""


class Known(NamedTuple):
    """What a layout says of a film; `folders` is how many folders down the match begins."""

    layout: Layout
    patient: str
    label: str | None
    folders: int


def _layout(name: str, pattern: str, note: str = "") -> Layout:
    return Layout(name, re.compile(rf"(?:^|/){pattern}"), note)


# From the most to the least particular; the first that matches counts.
LAYOUTS = (
    _layout("MIMIC-CXR", r"(p\d{8})/s\d{8}(?:/|\.)"),
    _layout("MURA", r"XR_[A-Z]+/(patient\d+)/study\d+_(?P<label>positive|negative)/"),
    _layout("CheXpert", r"(patient\d+)/study\d+/"),
    _layout("BRAX", r"(id_[0-9a-f-]{8,36})/Study_[^/]+/Series_[^/]+/"),
    _layout("BIDS, as BIMCV-COVID19", r"(sub-[A-Za-z0-9]+)[/_]"),
    _layout("RSNA-RICORD", r"(?:MIDRC-RICORD-1C-)?(\d{6}-\d{6})/"),
    _layout("NBIA, as TCIA sends it", r"([^/]+)/\d\d-\d\d-\d{4}-[^/]*/[^/]+/\d+-\d+\.\w+$"),
    _layout("CBIS-DDSM", r"[\w-]+_(P_\d{5})_(?:LEFT|RIGHT)_(?:CC|MLO)"),
    _layout("DDSM", r"([A-D]_\d{4}_\d)\.(?:LEFT|RIGHT)_(?:CC|MLO)"),
    _layout("INbreast", r"\d{8}_([0-9a-f]{16})_MG_"),
    _layout("OsiriX or Horos", r"([^/]+)/[^/]+/[^/]*[ _-]\d+/IM-\d{4}-\d{4}(?:-\d{4})?(?:\.\w+)?$"),
    _layout("DICOM media", r"((?:[^/]+/)*?PAT?\d+)/(?:ST|STD|STU)\d+/(?:SE|SER|SRS)\d+/[^/]+$"),
    # Kermany et al., doi:10.17632/rscbjbr9sj.2
    _layout("Kermany", r"(person\d+)_[^/]*$"),
    _layout("Kermany", r"((?:NORMAL2-)?IM-\d+)-[^/]*$"),
    _layout("SIIM-FISABIO-RSNA COVID-19", r"([0-9a-f]{12})/[0-9a-f]{12}/[^/]+$", STUDY_ONLY),
    _layout("NIH ChestX-ray14", r"(\d{8})_\d{3}(?!\d)[^/]*$"),
    _layout("PadChest", r"(\d{15,})_[\w-]+\.\w+$", STUDY_ONLY),
    _layout("Open-i (Indiana)", r"(CXR\d+)_\d*_?IM-\d{4}[^/]*$"),
    _layout("Open-i (Indiana)", r"(\d+)_IM-\d{4}-\d{4}[^/]*$"),
    _layout("Shenzhen", r"(CHNCXR_\d{4})_\d[^/]*$"),
    _layout("Montgomery", r"(MCUCXR_\d{4})_\d[^/]*$"),
    _layout("JSRT", r"(JPC(?:LN|NN)\d{3})[^/]*$"),
    _layout("GRAZPEDWRI-DX", r"(\d{4})_\d{10}_\d\d_WRI-[^/]*$"),
    _layout("LERA", r"([^/]+)/ST-\d+/"),
    _layout("OAI", r"(9\d{6})(?:[_ -]?(?:L|R|LEFT|RIGHT)\d*)?(?:[_ -][^/]*)?(?:/[^/]+)*\.\w+$"),
    _layout("MOST", r"(M[BI]\d{5})(?!\d)"),
    _layout("UK Biobank", r"(\d{7})_\d{5}_\d+_\d+"),
    _layout("VinDr-Mammo", rf"({HEX})/{HEX}\.\w+$", STUDY_ONLY),
    _layout("SIIM-ACR, or studies and series by UID", rf"({UID})/{UID}/[^/]+$", STUDY_ONLY),
    _layout("studies by UID", rf"({UID})/[^/]+$", STUDY_ONLY),
    _layout("films by UID", rf"({UID})(?:\.[A-Za-z]+)?$", FILM_ONLY),
    _layout("VinDr-CXR", rf"({HEX})\.\w+$", FILM_ONLY),
    _layout("RSNA Pneumonia", rf"({UUID})\.\w+$", FILM_ONLY),
    _layout("COVIDx, as Actualmed and Figure 1", r"((?:CXR|COVID-)\d{5})\.\w+$", FILM_ONLY),
)
MIAS = re.compile(r"(?:^|/)mdb(\d{3})\w*\.\w+$")


def known_layout(path: PurePath) -> Known | None:
    """What a known layout says of the film at `path`, taken below the folder of films."""
    text = path.as_posix()
    if match := MIAS.search(text):  # two films of each patient, numbered one after the other
        pair = (int(match[1]) + 1) // 2
        layout = Layout("MIAS", MIAS)
        return Known(layout, f"mdb pair {pair:03}", None, len(path.parts) - 1)
    for layout in LAYOUTS:
        if match := layout.pattern.search(text):
            label = match.groupdict().get("label")
            return Known(layout, match[1], label, text[: match.start(1)].count("/"))
    return None
