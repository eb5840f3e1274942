"""The index of a folder of films: layouts, labels, splits, and everything that can be wrong."""

from __future__ import annotations

import pytest

from xraysr.errors import UserError
from xraysr.films.finder import pair_folders
from xraysr.films.index import index_films, index_pair_folder
from xraysr.pair import Pair

KERMANY = (
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0200-0001.jpeg",
    "chest_xray/train/PNEUMONIA/person7_bacteria_1.jpeg",
    "chest_xray/val/NORMAL/IM-0300-0001.jpeg",
    "chest_xray/test/PNEUMONIA/person9_virus_3.jpeg",
)


def test_kermany_layout_keeps_folder_splits_and_labels(tmp_path, touch, by_path):
    index = index_films(touch(tmp_path, *KERMANY))
    assert by_path(index) == {
        KERMANY[0]: ("IM-0115", "NORMAL", "train"),
        KERMANY[1]: ("NORMAL2-IM-0200", "NORMAL", "train"),
        KERMANY[2]: ("person7", "PNEUMONIA", "train"),
        KERMANY[3]: ("IM-0300", "NORMAL", "val"),
        KERMANY[4]: ("person9", "PNEUMONIA", "test"),
    }
    assert not index.val_drawn
    assert [film.name for film in index.of("test")] == ["person9_virus_3"]


@pytest.mark.parametrize("name", ["val", "VAL", "valid", "Validation"])
def test_names_of_the_validation_folder(tmp_path, name, touch):
    index = index_films(touch(tmp_path, "Train/a.png", "TEST/b.png", f"{name}/c.png"))
    assert {f.name: f.split for f in index.films} == {"a": "train", "b": "test", "c": "val"}
    assert {film.label for film in index.films} == {None}


def test_without_a_val_folder_whole_patients_of_train_become_val(tmp_path, touch):
    films = [f"train/person{n}_virus_{m}.png" for n in range(200) for m in range(2)]
    touch(tmp_path, *films, "test/person900_virus_1.png")
    index = index_films(tmp_path)
    assert index.val_drawn
    val = {film.patient for film in index.of("val")}
    assert 10 <= len(val) <= 32
    assert not val & {film.patient for film in index.of("train")}
    assert len(index.of("val")) == 2 * len(val)
    assert len(index.of("test")) == 1


def test_a_test_folder_alone_stays_test(tmp_path, touch):
    index = index_films(touch(tmp_path, "test/a.png", "test/b.png"))
    assert len(index.of("test")) == 2 and not index.val_drawn


def test_a_flat_folder_is_split_by_patient(tmp_path, touch):
    touch(tmp_path, *(f"{n:08}_{m:03}.png" for n in range(300) for m in range(2)))
    index = index_films(tmp_path)
    shares = [len(index.of(split)) / 600 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.75, 0.10, 0.15], abs=0.06)
    split_of_patient = {(film.patient, film.split) for film in index.films}
    assert len(split_of_patient) == 300
    assert {film.label for film in index.films} == {None}


def test_adding_films_moves_nobody(tmp_path, touch, by_path):
    touch(tmp_path, *(f"person{n}_virus_1.png" for n in range(50)))
    before = by_path(index_films(tmp_path))
    after = by_path(index_films(touch(tmp_path, *(f"person{n}_virus_2.png" for n in range(90)))))
    assert before.items() <= after.items()


def test_resplit_merges_the_folders(tmp_path, touch):
    touch(tmp_path, *(f"train/A/person{n}_virus_1.png" for n in range(60)))
    touch(tmp_path, *(f"test/B/person{n}_virus_2.png" for n in range(60)))
    index = index_films(tmp_path, resplit=True)
    assert len({(film.patient, film.split) for film in index.films}) == 60
    assert {f.label for f in index.of("test")} == {"A", "B"} == {f.label for f in index.of("train")}


def test_a_patient_in_train_and_test_is_refused_by_name(tmp_path, touch):
    touch(tmp_path, *(f"train/person{n}_virus_1.png" for n in range(9)))
    touch(tmp_path, *(f"test/person{n}_virus_2.png" for n in range(2, 20)))
    with pytest.raises(UserError) as error:
        index_films(tmp_path)
    text = str(error.value)
    assert "train and test share 7 patients" in text
    assert "person2, person3, person4, person5, person6, ..." in text and "person7" not in text
    assert "resplit" in text and "allow_shared_patients" in text and "--" not in text
    assert "Kermany's set the person numbers of the train and test folders overlap" in text
    index = index_films(tmp_path, allow_shared_patients=True)
    assert len(index.of("test")) == 18


def test_a_patient_in_val_and_test_is_refused(tmp_path, touch):
    touch(tmp_path, "train/person1_a.png", "val/person2_a.png", "test/person2_b.png")
    with pytest.raises(UserError, match="val and test share 1 patients"):
        index_films(tmp_path)


def test_no_real_set_shares_patients(shared_data):
    for name, suffix in (("nih_chest_xray", "png"), ("kermany_224", "jpeg")):
        index = index_films(shared_data / name)
        assert len(index.films) == len(list((shared_data / name).rglob(f"*.{suffix}")))
        assert index.of("train") and index.of("val") and index.of("test")


def test_dicom_films_count_with_their_patient(shared_data):
    index = index_films(shared_data / "dicom")
    assert len(index.films) == 5
    twins = {film.patient for film in index.films if "rsna" in film.name}
    assert len(twins) == 1 and not twins & {film.name for film in index.films}


def test_films_outside_the_split_folders_are_named(tmp_path, touch, reasons):
    index = index_films(touch(tmp_path, "train/a.png", "test/b.png", "c.png", "more/d.png"))
    assert reasons(index) == dict.fromkeys(
        ("c.png", "more/d.png"), "outside the train, val and test folders"
    )


def test_bad_folders(tmp_path, touch):
    with pytest.raises(UserError, match=r"existing folder. Received: .*nowhere"):
        index_films(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="existing folder"):
        index_films(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="it is empty"):
        index_films(tmp_path / "empty")
    touch(tmp_path / "texts", "a.txt", "b.csv", ".hidden")
    with pytest.raises(UserError, match=r"hidden.*; 2 files, text, which is not read.*TIFF files"):
        index_films(tmp_path / "texts")


def test_one_patient_is_refused_only_where_a_split_is_needed(tmp_path, touch):
    touch(tmp_path / "flat", "person1_a.png", "person1_b.png")
    with pytest.raises(UserError, match=r"Only one patient .*\(person1, 2 films\): at least"):
        index_films(tmp_path / "flat")
    touch(tmp_path / "test_only" / "test", "person1_a.png")
    assert len(index_films(tmp_path / "test_only").of("test")) == 1


def test_an_empty_split_is_refused_with_counts(tmp_path, touch):
    index = index_films(touch(tmp_path, "train/person1_a.png", "train/person3_a.png"))
    assert index.of("test") == ()
    with pytest.raises(UserError, match=r"No test films under .*2 in train, 0 in val, 0 in test"):
        index.require("test")
    assert index.require("train") == index.of("train")


def test_summary_counts(tmp_path, touch):
    lines = index_films(touch(tmp_path, *KERMANY)).summary().splitlines()
    assert lines[0] == "train: 3 films of 3 patients (2 NORMAL, 1 PNEUMONIA)"
    assert lines[2] == "test: 1 films of 1 patients (1 PNEUMONIA)"


PAIRED = (
    "64x256/train/lr/a.png",
    "64x256/train/hr/a.png",
    "64x256/test/lr/b.png",
    "64x256/test/hr/b.png",
)


def test_pair_folders_give_hr_films_with_their_lr(tmp_path, touch, reasons):
    touch(tmp_path, *PAIRED)
    touch(tmp_path, "64x256/train/hr/c.png", "64x256/train/lr/d.png", "64x256/train/e.png")
    assert pair_folders(tmp_path) == ["64x256"]
    index = index_pair_folder(tmp_path, Pair.parse("64:256"))
    films = {film.name: film for film in index.films}
    assert films["b"].path == tmp_path / PAIRED[3] and films["b"].lr_path == tmp_path / PAIRED[2]
    assert films["b"].split == "test" and films["b"].label is None
    assert set(films) == {"a", "b"}
    assert reasons(index) == {
        "train/hr/c.png": "its LR twin is missing",
        "train/lr/d.png": "its HR twin is missing",
        "train/e.png": "outside the lr and hr folders of a pair",
    }


def test_a_missing_pair_names_those_there(tmp_path, touch):
    touch(tmp_path, *PAIRED)
    with pytest.raises(UserError, match=r"pair 32:128 .*It holds: 64x256.*prepare SRC .*--pair 32"):
        index_pair_folder(tmp_path, Pair.parse("32:128"))
    with pytest.raises(UserError, match="It holds: no pair"):
        index_pair_folder(tmp_path / "nowhere", Pair.parse("32:128"))
    with pytest.raises(UserError, match=r"holds prepared pairs \(64x256\)"):
        index_films(tmp_path)
