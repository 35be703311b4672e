from anonymizer.known_values import KnownValues


def knowing(keyword: str, vr: str, *values: str) -> KnownValues:
    known = KnownValues()
    known.learn(keyword, vr, list(values))
    return known


def test_a_name_is_known_by_each_part() -> None:
    known = knowing("PatientName", "PN", "Example^Ada=王^小东")
    assert known.in_text("operated by EXAMPLE, A.")
    assert known.in_text("for ada only")
    assert not known.in_text("Canada")


def test_an_ideographic_name_is_known_without_spaces() -> None:
    known = knowing("PatientName", "PN", "Wang^XiaoDong=王^小东")
    assert known.in_text("患者王小东来院")
    assert known.in_text("小东")
    assert not known.in_text("国王")


def test_short_values_count_only_as_words() -> None:
    known = knowing("PatientName", "PN", "Lee^Bo")
    assert not known.in_text("sleep study")
    assert known.in_text("study of Lee")
    assert not known.in_text("Bo")


def test_short_numbers_single_out_nobody() -> None:
    assert not knowing("StudyID", "SH", "1234").in_text("1234")
    assert knowing("PatientID", "LO", "12345").in_text("ID 12345")
    assert knowing("PatientID", "LO", "A12345").is_one("a12345")


def test_descriptions_are_no_identifiers() -> None:
    assert not knowing("SeriesDescription", "LO", "HEAD ROUTINE").in_text("HEAD ROUTINE")


def test_dates_and_uids_are_known() -> None:
    assert knowing("AcquisitionDateTime", "DT", "20240229101500").in_text("v20240229")
    assert knowing("StudyInstanceUID", "UI", "1.2.3.4.5.6").in_text("from 1.2.3.4.5.6")
    assert not knowing("SOPInstanceUID", "UI", "1.2.840.10008.1.2").in_text("1.2.840.10008.1.2")


def test_values_in_binary_need_some_length() -> None:
    assert not knowing("PatientName", "PN", "Ada").in_bytes("...ada...")
    assert knowing("PatientName", "PN", "Lovelace").in_bytes("\x00\x00LOVELACE\x00")
