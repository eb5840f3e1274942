"""The layouts of public sets and of viewers: whose each film is, and no patient on two sides."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from xraysr.films.index import index_films
from xraysr.films.layouts import known_layout

HEX = "9a5094b2563a1ef3ff50dc5c7ff71345"
UID = "1.2.276.0.7230010.3.1.4.8323329"
UUID = "0004cfab-14fd-4e49-80ba-63a80b6bddd6"
MIMIC = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"

# A path for each patient and film, the layout's name, and the patient's id.
LAYOUTS = {
    "nih": ("images_001/images/{p:08}_{f:03}.png", "NIH ChestX-ray14", "{p:08}"),
    "kermany": ("NORMAL/IM-{p:04}-{f:04}.jpeg", "Kermany", "IM-{p:04}"),
    "kermany2": ("PNEUMONIA/person{p}_virus_{f}.jpeg", "Kermany", "person{p}"),
    "mimic": ("files/p10/p1{p:07}/s5{p:04}{f:03}/" + MIMIC, "MIMIC-CXR", "p1{p:07}"),
    "chexpert": ("patient{p:05}/study{f}/view1_frontal.jpg", "CheXpert", "patient{p:05}"),
    "mura": (
        "XR_WRIST/patient{p:05}/study{f}_positive/image1.png", "MURA", "patient{p:05}",
    ),
    "padchest": (
        "0/21684011136696401{p:04}_00-141-{f:03}.png", "PadChest", "21684011136696401{p:04}",
    ),
    "brax": (
        "id_{p:08}-14fd-4e49-80ba-63a80b6bddd6/Study_{f}/Series_1/image-1.png", "BRAX",
        "id_{p:08}-14fd-4e49-80ba-63a80b6bddd6",
    ),
    "bimcv": (
        "sub-S{p:05}/ses-E{f:05}/mod-rx/sub-S{p:05}_ses-E{f:05}_bp-chest_cr.png",
        "BIDS, as BIMCV-COVID19", "sub-S{p:05}",
    ),
    "flat bids": ("covid/sub-S{p:05}_ses-E{f}_vp-ap.png", "BIDS, as BIMCV-COVID19", "sub-S{p:05}"),
    "openi": ("CXR{p}_1_IM-0001-{f:04}.png", "Open-i (Indiana)", "CXR{p}"),
    "openi kaggle": ("images/{p}_IM-0001-{f:04}.dcm.png", "Open-i (Indiana)", "{p}"),
    "shenzhen": ("CHNCXR_{p:04}_{f}.png", "Shenzhen", "CHNCXR_{p:04}"),
    "montgomery": ("MCUCXR_{p:04}_{f}.png", "Montgomery", "MCUCXR_{p:04}"),
    "grazped": (
        "{p:04}_1297860395_0{f}_WRI-L1_M014.png", "GRAZPEDWRI-DX", "{p:04}",
    ),
    "oai": ("KL2/9{p:06}{side}.png", "OAI", "9{p:06}"),
    "oai folders": ("9{p:06}/V0{f}/knee.png", "OAI", "9{p:06}"),
    "most": ("MB{p:05}_V{f}_PA.png", "MOST", "MB{p:05}"),
    "lera": ("{p:04}/ST-{f}/image1.png", "LERA", "{p:04}"),
    "tcia": (
        "COVID-19-AR-{p:08}/07-14-2012-NA-XR CHEST-5745{f}/1001.000000-AP-45330/1-1.png",
        "NBIA, as TCIA sends it", "COVID-19-AR-{p:08}",
    ),
    "horos": (
        "DOE {p}_{p:06}/Thorax - {f}/PA_1/IM-0001-000{f}.jpg", "OsiriX or Horos", "DOE {p}_{p:06}",
    ),
    "media": ("DICOM/PA{p:06}/ST00000{f}/SE000001/IM000001", "DICOM media", "DICOM/PA{p:06}"),
    "cbis": ("Calc-Test_P_{p:05}_LEFT_CC/{f}.png", "CBIS-DDSM", "P_{p:05}"),
    "ddsm": ("benign/A_{p:04}_1.{side}_CC.png", "DDSM", "A_{p:04}_1"),
    "inbreast": ("2058{f:04}_{p:016x}_MG_R_CC_ANON.png", "INbreast", "{p:016x}"),
    "siim covid": ("{p:012x}/{f:012x}/65761e66de9f.png", "SIIM-FISABIO-RSNA COVID-19", "{p:012x}"),
    "vindr mammo": ("images/{p:032x}/{f:032x}.png", "VinDr-Mammo", "{p:032x}"),
    "uids": (UID + ".{p}/" + UID + ".{p}.1/" + UID + ".{f}.png",
             "SIIM-ACR, or studies and series by UID", UID + ".{p}"),
    "uk biobank": ("{p:07}_20158_{f}_0/film.png", "UK Biobank", "{p:07}"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_patient_is_on_two_sides(tmp_path, touch, layout):
    pattern, name, patient = LAYOUTS[layout]
    side = ("", "LEFT", "RIGHT") if layout == "ddsm" else ("", "L", "R")
    truth = {
        pattern.format(p=p, f=f, side=side[f]): patient.format(p=p)
        for p in range(1, 31)
        for f in (1, 2)
    }
    index = index_films(touch(tmp_path, *truth))
    found = {film.path.relative_to(tmp_path).as_posix(): film for film in index.films}
    assert {path: film.patient for path, film in found.items()} == truth
    assert {film.told_by for film in found.values()} == {f"the layout of {name}"}
    splits = [{film.patient for film in index.of(split)} for split in ("train", "val", "test")]
    assert all(splits) and sum(map(len, splits)) == 30


@pytest.mark.parametrize(
    ("path", "name", "patient"),
    [
        (f"vinbigdata/{HEX}.dicom", "VinDr-CXR", HEX),
        (f"stage_2_train_images/{UUID}.dcm", "RSNA Pneumonia", UUID),
        (f"{UID}.517875.dcm", "films by UID", f"{UID}.517875"),
        ("JPCLN001.IMG", "JSRT", "JPCLN001"),
        ("JPCNN093.png", "JSRT", "JPCNN093"),
        ("all-mias/mdb003.png", "MIAS", "mdb pair 002"),
        ("all-mias/mdb004.png", "MIAS", "mdb pair 002"),
        ("MIDRC-RICORD-1C-419639-000025/1/2/3.dcm", "RSNA-RICORD", "419639-000025"),
        ("CXR00012.png", "COVIDx, as Actualmed and Figure 1", "CXR00012"),
    ],
)
def test_layouts_of_single_films(path, name, patient):
    known = known_layout(PurePath(path))
    assert known is not None and (known.layout.name, known.patient) == (name, patient)


@pytest.mark.parametrize(
    "path", ["a.png", "NORMAL/film 7.png", "12345678.png", "x/y/z.png", "00001682_0015.png"]
)
def test_what_no_layout_knows(path):
    assert known_layout(PurePath(path)) is None


def test_labels_are_classes_not_studies(tmp_path, touch):
    touch(tmp_path / "mura", *(f"XR_HAND/patient{p:05}/study1_negative/1.png" for p in range(9)))
    touch(tmp_path / "mimic", *(f"p10/p1000000{p}/s5041426{p}/{MIMIC}" for p in range(9)))
    touch(tmp_path / "nih", *(f"A/0000000{p}_000.png" for p in range(9)))
    labels = {name: {f.label for f in index_films(tmp_path / name).films} for name in
              ("mura", "mimic", "nih")}  # fmt: skip
    assert labels == {"mura": {"negative"}, "mimic": {None}, "nih": {"A"}}


def test_what_a_layout_cannot_tell_is_a_warning(tmp_path, touch):
    touch(tmp_path, *(f"{n:032x}.png" for n in range(20)))
    summary = index_films(tmp_path).summary()
    assert "patients: told by the layout of VinDr-CXR (20 films)" in summary
    assert "warning: 20 films (the layout of VinDr-CXR): the name tells films apart" in summary
