"""A derived image: what is kept of the source, what is brought to the new pixels, what goes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from xraysr.errors import BadImageError, UserError
from xraysr.io import Provenance, Radiograph, read, strip_writer, write
from xraysr.io.voi import display

SaveDicom = Callable[..., Path]

STORED = np.random.default_rng(0).integers(0, 4096, (6, 9)).astype(np.uint16)
PROVENANCE = Provenance("edge-x3", "c0ffee" * 8, 3, "1.2.3", ("faithful",))
NAMES = {
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.3.4.5",
    "StudyDate": "20200102",
    "PatientName": "Doe^Jane",
    "AccessionNumber": "A77",
    "SeriesNumber": 3,
    "InstanceNumber": 7,
}


def enlarged(radiograph: Radiograph, scale: int = 3) -> Radiograph:
    return replace(radiograph, pixels=radiograph.pixels.repeat(scale, 0).repeat(scale, 1))


def written(source: Path, scale: int = 3, provenance: Provenance | None = None) -> FileDataset:
    """The file at `source` enlarged by repeating pixels, and written as DICOM."""
    path = source.with_name("out.dcm")
    film = replace(enlarged(read(source), scale), provenance=provenance)
    write(path, film, overwrite=True)
    return dcmread(path)


def repeated(stored: np.ndarray, scale: int = 3) -> np.ndarray:
    return stored.repeat(scale, 0).repeat(scale, 1)


def item(**tags: object) -> Dataset:
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def test_who_and_when_are_kept_and_the_image_is_new(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, **NAMES)
    source, film = dcmread(path), written(path)
    for keyword in ("SOPClassUID", "PatientID", "Modality", *NAMES):
        if not keyword.startswith("Series"):
            assert film[keyword] == source[keyword]
    assert film.SOPInstanceUID != source.SOPInstanceUID
    assert film.SeriesInstanceUID != source.SeriesInstanceUID
    assert film.file_meta.MediaStorageSOPInstanceUID == film.SOPInstanceUID
    assert film.file_meta.MediaStorageSOPClassUID == film.SOPClassUID
    assert film.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (film.Rows, film.Columns) == (18, 27)
    np.testing.assert_array_equal(film.pixel_array, repeated(STORED))


def test_films_of_a_series_stay_together_under_one_model(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, **NAMES)
    one, two = written(path, 3, PROVENANCE), written(path, 3, PROVENANCE)
    assert one.SeriesInstanceUID == two.SeriesInstanceUID
    assert one.SOPInstanceUID == two.SOPInstanceUID  # the same work done again
    beside = written(save_dicom(STORED, **NAMES | {"SOPInstanceUID": "1.2.10"}), 3, PROVENANCE)
    assert beside.SeriesInstanceUID == one.SeriesInstanceUID
    assert beside.SOPInstanceUID != one.SOPInstanceUID
    with_option = written(path, 3, replace(PROVENANCE, options=("faithful",)))
    assert with_option.SOPInstanceUID != one.SOPInstanceUID
    assert (one.SeriesNumber, one.InstanceNumber) == (1003, 7)
    other = written(path, 3, replace(PROVENANCE, model="base-x3"))
    assert other.SeriesInstanceUID != one.SeriesInstanceUID
    elsewhere = written(save_dicom(STORED, **NAMES | {"SeriesInstanceUID": "1.2.9"}), 3, PROVENANCE)
    assert elsewhere.SeriesInstanceUID != one.SeriesInstanceUID


def test_the_header_in_memory_stays_as_it_was(save_dicom: SaveDicom, tmp_path: Path) -> None:
    radiograph = read(save_dicom(STORED, **NAMES, SmallestImagePixelValue=3, PixelSpacing=[1, 1]))
    before = copy.deepcopy(radiograph.header)
    write(tmp_path / "a.dcm", enlarged(radiograph))
    assert radiograph.header == before


def test_it_says_what_made_it(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, **NAMES, SeriesDescription="Chest PA", DerivationDescription="cut")
    film, source = written(path, 3, PROVENANCE), dcmread(path)
    text = (
        "xraysr 1.2.3, model edge-x3 (weights sha256 "
        f"{'c0ffee' * 8}), x3, faithful: detail may be synthetic"
    )
    assert PROVENANCE.text == text
    assert film.DerivationDescription == f"cut; {text}"
    assert list(film.ImageType) == ["DERIVED", "SECONDARY"]
    assert film.SeriesDescription == "Chest PA (xraysr SR x3)"
    assert film.SyntheticData == "YES"
    (code,) = film.DerivationCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113085", "DCM")
    (reference,) = film.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    (equipment,) = film.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("xraysr", "edge-x3")
    assert (equipment.SoftwareVersions, equipment.ContributionDescription) == ("1.2.3", text)


def test_without_provenance_it_is_derived_all_the_same(save_dicom: SaveDicom) -> None:
    film = written(save_dicom(STORED))
    assert film.DerivationDescription.endswith("x3: detail may be synthetic")
    assert film.ImageType[0] == "DERIVED" and film.SyntheticData == "YES"
    assert "ManufacturerModelName" not in film.ContributingEquipmentSequence[0]


def test_what_was_said_before_is_added_to(save_dicom: SaveDicom) -> None:
    old = item(ReferencedSOPInstanceUID="1.2.3", ReferencedSOPClassUID="1.2.4")
    before = {
        "SourceImageSequence": [old],
        "DerivationCodeSequence": [item(CodeValue="113040")],
        "ContributingEquipmentSequence": [item(Manufacturer="Scanner")],
    }
    film = written(save_dicom(STORED, **before))
    for keyword, items in before.items():
        assert len(film[keyword].value) == 2 and film[keyword].value[0] == items[0]


def test_long_texts_are_cut_and_ours_is_whole(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, SeriesDescription="s" * 64, DerivationDescription="d" * 1024)
    film = written(path, 3, PROVENANCE)
    assert len(film.SeriesDescription) == 64 and film.SeriesDescription.endswith(" (xraysr SR x3)")
    assert len(film.DerivationDescription) == 1024
    assert film.DerivationDescription.endswith(PROVENANCE.text)


@pytest.mark.parametrize("kind", ["1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"])
def test_a_third_image_type_where_the_class_has_one(save_dicom: SaveDicom, kind: str) -> None:
    path = save_dicom(STORED, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{kind}")
    assert list(written(path).ImageType) == ["DERIVED", "SECONDARY", ""]


@pytest.mark.parametrize("scale", [2, 3, 7])
def test_spacings_are_divided(save_dicom: SaveDicom, scale: int) -> None:
    tags = {
        "PixelSpacing": ["0.143", "0.139"],
        "ImagerPixelSpacing": ["0.15", "0.15"],
        "NominalScannedPixelSpacing": ["0.2", "0.3"],
    }
    film = written(save_dicom(STORED, **tags), scale)
    for keyword, values in tags.items():
        expected = np.array(values, float) / scale
        np.testing.assert_allclose(np.array(film[keyword].value, float), expected, rtol=1e-12)
        assert max(len(str(number)) for number in film[keyword].value) <= 16


def test_spacings_in_functional_groups(save_dicom: SaveDicom) -> None:
    groups = [item(PixelMeasuresSequence=[item(PixelSpacing=[0.3, 0.6])])]
    path = save_dicom(STORED, SharedFunctionalGroupsSequence=groups)
    assert read(path).spacing == (0.3, 0.6)
    film = written(path)
    (measures,) = film.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    np.testing.assert_allclose(measures.PixelSpacing, [0.1, 0.2])


def test_shutters_and_collimators_follow_the_pixels(save_dicom: SaveDicom) -> None:
    tags = {
        "ShutterShape": "RECTANGULAR",
        "ShutterLeftVerticalEdge": 2,
        "ShutterRightVerticalEdge": 9,
        "ShutterUpperHorizontalEdge": 0,
        "ShutterLowerHorizontalEdge": 7,
        "CenterOfCircularCollimator": [2, 5],
        "RadiusOfCircularCollimator": 2,
        "VerticesOfThePolygonalCollimator": [1, 1, 6, 1, 6, 9],
    }
    film = written(save_dicom(STORED, **tags))
    # Pixel p of the source is the pixels 3p - 2 to 3p, with 3p - 1 in the middle.
    assert (film.ShutterLeftVerticalEdge, film.ShutterRightVerticalEdge) == (5, 26)
    assert (film.ShutterUpperHorizontalEdge, film.ShutterLowerHorizontalEdge) == (0, 19)
    assert list(film.CenterOfCircularCollimator) == [5, 14]
    assert film.RadiusOfCircularCollimator == 6
    assert list(film.VerticesOfThePolygonalCollimator) == [2, 2, 17, 2, 17, 26]


def test_what_no_longer_fits_goes(save_dicom: SaveDicom) -> None:
    private = item(PatientID="inside")
    private.add_new(0x00090010, "LO", "ACME")
    private.add_new(0x00091001, "LO", "secret")
    tags = {
        "SmallestImagePixelValue": 0,
        "LargestImagePixelValue": 4095,
        "IconImageSequence": [item(Rows=1)],
        "RequestAttributesSequence": [private],
    }
    path = save_dicom(STORED, **tags)
    film = dcmread(path)
    for tag, kind, value in (
        (0x00090010, "LO", "ACME"),
        (0x00091001, "OB", b"secret"),
        (0x60003000, "OW", b"\0" * 8),
        (0x60020010, "US", 6),
        (0x50003000, "OW", b"\0" * 8),
        (0xFFFAFFFA, "SQ", [item(MACIDNumber=1)]),
        (0x4FFE0001, "SQ", [item(MACIDNumber=1)]),
        (0xFFFCFFFC, "OB", b"\0" * 4),
    ):
        film.add_new(tag, kind, value)
    film.save_as(path)
    after = written(path)
    left = [element.tag for element in after.iterall()]
    assert not [tag for tag in left if tag.is_private or tag.group > 0x4FFF and tag != 0x7FE00010]
    assert not set(tags) & set(after.dir()) - {"RequestAttributesSequence"}
    assert after.RequestAttributesSequence[0].PatientID == "inside"


@pytest.mark.parametrize("said", [None, "YES", "NO"])
def test_burnt_in_text_is_as_the_source_says_and_never_denied_here(
    save_dicom: SaveDicom, said: str | None
) -> None:
    assert written(save_dicom(STORED, BurnedInAnnotation=said)).get("BurnedInAnnotation") == said


def test_once_lossy_always_lossy(save_dicom: SaveDicom) -> None:
    kept = {"LossyImageCompressionRatio": "12", "LossyImageCompressionMethod": "ISO_14495_1"}
    film = written(save_dicom(STORED, LossyImageCompression="01", **kept))
    assert film.LossyImageCompression == "01"
    assert {keyword: film[keyword].value for keyword in kept} == {
        "LossyImageCompressionRatio": 12,
        "LossyImageCompressionMethod": "ISO_14495_1",
    }
    assert "LossyImageCompression" not in written(save_dicom(STORED))


def test_a_lossy_transfer_syntax_says_so_for_a_source_that_does_not(shared_data, tmp_path) -> None:
    film = dcmread(shared_data / "dicom" / "rsna_cr_monochrome2.dcm")
    assert film.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    del film.LossyImageCompression, film.LossyImageCompressionMethod
    film.save_as(tmp_path / "a.dcm")
    after = written(tmp_path / "a.dcm", 1)
    assert after.LossyImageCompression == "01"
    assert after.LossyImageCompressionMethod == "ISO_10918_1"


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope", ["1", "0.684", "-2"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_windows_still_fit(save_dicom: SaveDicom, kind: type, slope: str, photometric: str) -> None:
    stored = (STORED.astype(int) - (2048 if kind is np.int16 else 0)).astype(kind)
    tags = {
        "RescaleSlope": slope,
        "RescaleIntercept": "-7",
        "PhotometricInterpretation": photometric,
    }
    center = round(float(slope) * float(stored.mean()) - 7, 3)
    path = save_dicom(stored, **tags, WindowCenter=str(center), WindowWidth="900")
    film = written(path)
    np.testing.assert_array_equal(film.pixel_array, repeated(stored))
    for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", *tags):
        assert film[keyword] == dcmread(path)[keyword]
    before, after = display(read(path)).pixels, display(read(path.with_name("out.dcm"))).pixels
    np.testing.assert_array_equal(after, repeated(before))
    assert 0.2 < after.mean() < 0.8


def modality_lut(first: int, entries: list[int], bits: int, kind: str = "US") -> list[Dataset]:
    made = item(ModalityLUTType="OD")
    made.add_new("LUTDescriptor", kind, [len(entries), first, bits])
    made.add_new("LUTData", "US", entries)
    return [made]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("signed", [False, True])
def test_a_modality_lut_becomes_stored_values(
    save_dicom: SaveDicom, signed: bool, syntax: str
) -> None:
    stored = (STORED.astype(int) - 2048).astype(np.int16) if signed else STORED
    entries = (1023 - np.arange(4096) // 8 - np.arange(4096) // 16).tolist()
    lut = modality_lut(-2048 if signed else 0, entries, 10, "SS" if signed else "US")
    tags = {"WindowCenter": "600", "WindowWidth": "400", "PixelPaddingValue": 0}
    path = save_dicom(stored, syntax, ModalityLUTSequence=lut, **tags)
    film = written(path)
    np.testing.assert_array_equal(film.pixel_array, repeated(np.array(entries)[STORED]))
    assert (film.BitsStored, film.HighBit, film.BitsAllocated) == (10, 9, 16)
    assert (film.PixelRepresentation, film.RescaleSlope, film.RescaleIntercept) == (0, 1, 0)
    assert film.RescaleType == "OD"
    assert "ModalityLUTSequence" not in film and "PixelPaddingValue" not in film
    before, after = display(read(path)).pixels, display(read(path.with_name("out.dcm"))).pixels
    padded = repeated(stored == 0)
    np.testing.assert_allclose(after[~padded], repeated(before)[~padded], atol=1e-4)


def test_words_of_a_voi_lut_come_out_of_big_endian(save_dicom: SaveDicom) -> None:
    entries = np.arange(4096)[::-1] * 16
    lut = item()
    lut.add_new("LUTDescriptor", "US", [4096, 0, 16])
    lut.add_new("LUTData", "OW", entries.astype(">u2").tobytes())
    path = save_dicom(STORED, ExplicitVRBigEndian, VOILUTSequence=[lut])
    film = written(path)
    data = np.frombuffer(film.VOILUTSequence[0].LUTData, "<u2")
    np.testing.assert_array_equal(data, entries)
    np.testing.assert_array_equal(film.pixel_array, repeated(STORED))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_of_the_source(save_dicom: SaveDicom, syntax: str) -> None:
    path = save_dicom(STORED, syntax, **NAMES, PixelPaddingValue=5, WindowCenter="7")
    film = written(path)
    assert (film.PatientName, film.PixelPaddingValue, film.WindowCenter) == ("Doe^Jane", 5, 7)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("padding", "fill"),
    [((0,), 0), ((4095,), 4095), ((4000, 4095), 4000), ((0, 95), 0), ((65535,), 65535)],
)
def test_padding_stays_padding_and_nothing_else_becomes_it(
    save_dicom: SaveDicom, padding: tuple[int, ...], fill: int, photometric: str
) -> None:
    stored = np.random.default_rng(1).integers(96, 4000, (6, 9)).astype(np.uint16)
    stored[:2, :3] = padding[-1]
    tags = {"PixelPaddingValue": padding[0], "PhotometricInterpretation": photometric}
    if len(padding) > 1:
        tags["PixelPaddingRangeLimit"] = padding[1]
    radiograph = read(save_dicom(stored, **tags))
    film = enlarged(radiograph)
    film.pixels[:] = np.random.default_rng(2).choice([0.0, 0.5, 0.99, 1.0], film.size)
    out = radiograph.source.with_name("out.dcm")
    write(out, film)
    after = dcmread(out)
    assert after.PixelPaddingValue == padding[0]
    values = np.frombuffer(after.PixelData, "<u2").reshape(18, 27)  # with its high bits
    padded = np.zeros((18, 27), bool)
    padded[:6, :9] = True
    assert (values[padded] == fill).all()
    ends = padding[0], padding[-1]
    assert not ((values >= min(ends)) & (values <= max(ends)))[~padded].any()
    unit = values / 4095 if photometric == "MONOCHROME2" else 1 - values / 4095
    # At most moved past the padding, by one level or the range.
    allowed = (max(ends) - min(ends) + 1.5) / 4095
    assert np.abs(unit - film.pixels)[~padded].max() <= allowed


def test_rows_in_strips_give_the_same_file(save_dicom: SaveDicom, tmp_path: Path) -> None:
    stored = STORED.copy()
    stored[2:5, :4] = 7
    radiograph = read(save_dicom(stored, PixelPaddingValue=7))
    film = enlarged(radiograph)
    write(tmp_path / "a.dcm", film)
    with strip_writer(tmp_path / "b.dcm", film.size, radiograph) as writer:
        for top, bottom in ((0, 1), (1, 8), (8, 8), (8, 18)):
            writer.write(film.pixels[top:bottom])
    one, two = dcmread(tmp_path / "a.dcm"), dcmread(tmp_path / "b.dcm")
    assert one.PixelData == two.PixelData
    assert (one.pixel_array == repeated(stored)).all()


def test_an_odd_number_of_bytes_is_padded(save_dicom: SaveDicom) -> None:
    stored = np.arange(15, dtype=np.uint8).reshape(3, 5)
    film = written(save_dicom(stored), 1)
    assert len(film.PixelData) == 16 and film["PixelData"].VR == "OB"
    np.testing.assert_array_equal(film.pixel_array, stored)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_names_in_every_script(save_dicom: SaveDicom, charset: object, name: str) -> None:
    tags = {"PatientName": name, "SeriesDescription": "a", "StudyDescription": "b"}
    path = save_dicom(STORED, SpecificCharacterSet=charset, **tags)
    film, source = written(path, 3, replace(PROVENANCE, model="größe")), dcmread(path)
    assert film.PatientName == source.PatientName == name
    assert "model gr??e" in film.DerivationDescription


def test_text_under_a_wrong_character_set_is_kept_byte_for_byte(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, PatientName="Mueller^J", SpecificCharacterSet="ISO_IR 192")
    latin = "Müller^Jü".encode("latin-1")
    path.write_bytes(path.read_bytes().replace(b"Mueller^J", latin))
    written(path)
    assert latin in path.with_name("out.dcm").read_bytes()


def test_values_that_break_the_standard_pass_through(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, StudyDate="20200101", PatientAge="062Y")
    data = path.read_bytes().replace(b"20200101", b"2020-1-1").replace(b"062Y", b"62.5")
    path.write_bytes(data)
    written(path)
    after = path.with_name("out.dcm").read_bytes()
    assert b"2020-1-1" in after and b"62.5" in after


def test_a_time_zone_counts(save_dicom: SaveDicom) -> None:
    film = written(save_dicom(STORED, TimezoneOffsetFromUTC="-1145"))
    assert film.ContributingEquipmentSequence[0].ContributionDateTime.endswith("-1145")
    assert written(save_dicom(STORED, TimezoneOffsetFromUTC="odd")).InstanceCreationDate


def test_other_classes_are_refused(save_dicom: SaveDicom, tmp_path: Path) -> None:
    source = Path(get_testdata_file("CT_small.dcm", download=False))
    with pytest.raises(BadImageError, match=r"CT_small\.dcm: is of the class CT Image Storage"):
        write(tmp_path / "a.dcm", read(source))
    assert list(tmp_path.glob("*a.dcm*")) == []


def test_one_bit_is_refused(save_dicom: SaveDicom) -> None:
    bits = np.packbits(np.eye(8, dtype=np.uint8), axis=1, bitorder="little")
    path = save_dicom(np.eye(8, dtype=np.uint8), BitsAllocated=1, BitsStored=1)
    film = dcmread(path)
    film.PixelData = bits.tobytes()
    film.save_as(path)
    assert read(path).bits == 1
    with pytest.raises(BadImageError, match="one bit per pixel"):
        written(path)


@pytest.mark.parametrize("size", [(18, 28), (5, 9), (12, 9)])
def test_sizes_that_are_no_multiple(save_dicom: SaveDicom, size: tuple[int, int]) -> None:
    radiograph = read(save_dicom(STORED))
    film = replace(radiograph, pixels=np.zeros(size, np.float32))
    with pytest.raises(UserError, match="a whole number of times its 9 x 6 pixels"):
        write(radiograph.source.with_name("a.dcm"), film)


def test_a_provenance_of_another_scale(save_dicom: SaveDicom) -> None:
    with pytest.raises(UserError, match="provenance says x3, but .* was enlarged x2"):
        written(save_dicom(STORED), 2, PROVENANCE)


@pytest.mark.parametrize("size", [(1, 65536), (70000, 1)])
def test_sides_beyond_16_bits(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"at most 65535 pixels a side.*\.tif"):
        write(tmp_path / "a.dcm", Radiograph(np.zeros(size, np.float32)))


def test_more_than_4_gb(tmp_path: Path) -> None:
    film = Radiograph(np.zeros((1, 1), np.float32), 16)
    with (
        pytest.raises(UserError, match=r"at most 4 GB. Received: 7\.2 GB.*\.tif"),
        strip_writer(tmp_path / "a.dcm", (60000, 60000), film),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_header_names_its_film(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, WindowCenter="1000", SourceImageSequence=[item(PatientID="x")])
    radiograph = read(path)
    radiograph.header.add_new(0x00082112, "LO", "no sequence")
    write(path.with_name("a.dcm"), enlarged(radiograph))
    (reference,) = dcmread(path.with_name("a.dcm")).SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == radiograph.header.SOPInstanceUID


def test_a_missing_class_follows_from_the_file_or_the_modality(save_dicom: SaveDicom) -> None:
    assert written(save_dicom(STORED, SOPClassUID=None)).SOPClassUID.name.startswith("Computed")


def test_what_cannot_be_written_is_left_out_and_named(save_dicom: SaveDicom) -> None:
    radiograph = read(save_dicom(STORED))
    radiograph.header.add_new("SensitivityType", "US", 1)
    radiograph.header["SensitivityType"]._value = "much"
    write(radiograph.source.with_name("a.dcm"), radiograph)
    after = dcmread(radiograph.source.with_name("a.dcm"))
    assert "SensitivityType" not in after and after.PatientID == "P1"
    assert after.DerivationDescription.endswith("breaks the standard: SensitivityType")


def test_digital_radiographs_keep_their_class(save_dicom: SaveDicom) -> None:
    kind = DigitalXRayImageStorageForPresentation
    film = written(save_dicom(STORED, SOPClassUID=kind, PresentationIntentType="FOR PRESENTATION"))
    assert film.SOPClassUID == kind
    assert film.PresentationIntentType == "FOR PRESENTATION"


def test_real_films(shared_data: Path, tmp_path: Path) -> None:
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        radiograph = read(path)
        made = replace(PROVENANCE, scale=2)
        write(tmp_path / path.name, replace(enlarged(radiograph, 2), provenance=made))
        again = read(tmp_path / path.name)
        assert again.bits == radiograph.bits
        np.testing.assert_allclose(again.pixels, enlarged(radiograph, 2).pixels, atol=2e-5)
        assert again.header.PatientID == radiograph.header.PatientID
        assert again.lossy == radiograph.lossy
