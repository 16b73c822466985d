"""Test how the encoding of a text file is found."""

from __future__ import annotations

import contextlib
import random

import pytest

from usersync.errors import SourceError
from usersync.loader.encoding import to_utf8

TEXT = "id,name\n1,Zoë\n2,語\n"


@pytest.mark.parametrize(
    ("data", "encoding", "found"),
    [
        pytest.param(TEXT.encode(), None, "utf-8", id="UTF-8 without a mark"),
        pytest.param(TEXT.encode("utf-8-sig"), None, "utf-8-sig", id="UTF-8 with a mark"),
        pytest.param(TEXT.encode("utf-16"), None, "utf-16", id="UTF-16 with a mark"),
        pytest.param(b"\xfe\xff" + TEXT.encode("utf-16-be"), None, "utf-16-be", id="UTF-16, big end first"),
        pytest.param(TEXT.encode("utf-16-le"), None, "utf-16-le", id="UTF-16 without a mark"),
        pytest.param(TEXT.encode("utf-16-be"), None, "utf-16-be", id="UTF-16 without a mark, big end first"),
        pytest.param(TEXT.encode("utf-32"), None, "utf-32", id="UTF-32 with a mark"),
        pytest.param(TEXT.encode("utf-16-be"), "utf-16", "utf-16-be", id="UTF-16 by settings finds its byte order"),
        pytest.param(TEXT.encode("utf-8-sig"), "utf-8", "utf-8-sig", id="UTF-8 by settings drops the mark"),
        pytest.param(
            TEXT.encode("utf-8-sig"), "cp1252", "utf-8-sig", id="a mark that fits the text wins over settings"
        ),
    ],
)
def test_reads_unicode_as_it_is(data: bytes, encoding: str | None, found: str) -> None:
    text = to_utf8(data, file="f.csv", encoding=encoding)
    assert (text.data[text.start :].decode(), text.encoding) == (TEXT, found)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param("Müller;Jürgen Schäfer;Größe", id="German"),
        pytest.param("Noël;Benoît;François;Hélène", id="French"),
        pytest.param("José Muñoz;Begoña Núñez;García", id="Spanish"),
        pytest.param("João Conceição;Luís;Simões", id="Portuguese"),
        pytest.param("L\u2019Oréal \u2013 50 €;\u201eZitat\u201c", id="signs of Windows"),
        pytest.param("Søren Bjørn;Åse;Ænne", id="Nordic"),
    ],
)
def test_reads_typical_western_text_as_windows_1252_with_a_note(names: str) -> None:
    text = to_utf8(f"id;a;b;c\n1;{names}\n".encode("cp1252"), file="f.csv")
    assert names in text.data.decode()
    assert text.encoding == "cp1252"
    assert text.notes == (
        "the encoding is a guess: cp1252, all letters beyond ASCII are western European ones; "
        "set source.encoding if it is wrong",
    )


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        pytest.param("Jiří Dvořák;Zdeněk Müller", "cp1250", id="Czech beside German"),
        pytest.param("Šimek;Dvořák;Müller", "iso8859_2", id="Czech beside German under ISO"),
        pytest.param("Paweł;Łukasz;Wójcik", "cp1250", id="Polish"),
        pytest.param("Łukasz;Müller;Grzegorz Brzęczyszczykiewicz", "cp1250", id="Polish beside German"),
        pytest.param("Dvořák;Kučera;Říha", "cp1250", id="Czech"),
        pytest.param("Şükrü;I\u015f\u0131k;Ayşe", "cp1254", id="Turkish"),
        pytest.param("Eglė;Živilė", "cp1257", id="Lithuanian"),
        pytest.param("Иван;Ольга", "koi8_r", id="Russian of Unix"),
        pytest.param("Иван и Ольга;я в отпуске", "cp1251", id="Russian with words of one letter"),
        pytest.param(
            "\u041e\u043b\u0435\u0433 \u0456 \u041e\u043b\u0435\u0441\u044f", "cp1251", id="Ukrainian, the same"
        ),
        pytest.param("Νίκος;Μαρία", "cp1253", id="Greek"),
    ],
)
def test_reads_the_only_encoding_that_gives_words_with_a_note(names: str, encoding: str) -> None:
    text = to_utf8(f"id;a;b;c\n1;{names}\n".encode(encoding), file="f.csv")
    assert names in text.data.decode()
    assert text.notes[0].startswith(f"the encoding is a guess: {encoding}, the only known encoding that gives words (")


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param("BAföG", id="a capital after a small letter"),
        pytest.param("6º", id="an ordinal"),
        pytest.param("Nabrežina", id="a place elsewhere"),
        pytest.param("Pl¤tz", id="a typing error"),
    ],
)
def test_one_odd_word_among_hundreds_does_not_matter(odd: str) -> None:
    names = [f"M\u00fcller{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]
    data = "\n".join(["id;name", *(f"{i};{name}" for i, name in enumerate([*names, odd]))])
    text = to_utf8(data.encode("cp1252"), file="f.csv")
    assert (text.encoding, text.data.decode()) == ("cp1252", data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"id," + b"x" * 3_000_000 + b"\n1,\xe9t\xe9\n", id="a long line of ASCII"),
        pytest.param(b"id,n\n1," + b"a" * 3_000_000 + b"\xe9\n", id="a long word"),
        pytest.param(b"\xe9" * 3_000_000, id="letters beyond ASCII only"),
        pytest.param(b"Zo\xeb, " * 500_000, id="a line of many words"),
        pytest.param(b"\x81\xff" * 1_500_000, id="bytes of no encoding"),
    ],
)
def test_reads_or_refuses_megabytes_of_any_bytes(data: bytes) -> None:
    """Each takes minutes where a guess takes more than a few passes over the file."""
    with contextlib.suppress(SourceError):
        assert to_utf8(data, file="f.csv").data.decode()


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        pytest.param("Erdős;Szűcs;Müller;Kovács", "cp1250", id="Hungarian, which Windows-1252 reads as words too"),
        pytest.param("Dvořák;Kučera;Šťastný", "iso8859_2", id="Czech under ISO"),
        pytest.param("Kovač;Babić", "cp1250", id="Croatian, which Windows-1252 reads as words too"),
        pytest.param("Müller;Jürgen", "cp850", id="German of DOS"),
        pytest.param("Győző;Erdős;Müller", "cp852", id="Hungarian of DOS"),
        pytest.param("Пётр;Смирнова;Кузнецов", "mac_cyrillic", id="Russian of an old Mac"),
        pytest.param("Юлия;Наталья", "iso8859_5", id="Russian under ISO"),
        pytest.param("Müller;Jürgen;Köhler", "mac_roman", id="German of an old Mac"),
        pytest.param("Иван;Ольга", "cp1251", id="Russian"),
        pytest.param("田中;さくら", "shift_jis", id="Japanese"),
        pytest.param("田中;佐藤;鈴木", "euc_jp", id="Japanese of Unix, which Chinese encodings read as words too"),
        pytest.param("田中;さくら", "iso2022_jp", id="Japanese of e-mails"),
        pytest.param("王伟;李娜", "gb18030", id="Chinese"),
        pytest.param("Hélène", "cp1252", id="too few western words to exclude Czech"),
    ],
)
def test_refuses_an_unsafe_guess_and_accepts_a_named_encoding(names: str, encoding: str) -> None:
    data = f"id;a;b;c\n1;{names}\n".encode(encoding)
    with pytest.raises(SourceError, match=r"encoding is in doubt.*source\.encoding"):
        to_utf8(data, file="f.csv")
    text = to_utf8(data, file="f.csv", encoding=encoding)
    assert names in text.data[text.start :].decode()


JAPANESE = "山田 佐藤 鈴木 田中 高橋 伊藤 渡辺 中村 小林 加藤 さくら"


def test_reads_japanese_names_with_letters_that_windows_added() -> None:
    names = f"{JAPANESE} 髙橋 山﨑"
    text = to_utf8(f"id;name\n1;{names}\n".encode("cp932"), file="f.csv")
    assert names in text.data.decode()


def test_never_takes_japanese_with_narrow_letters_for_chinese() -> None:
    with pytest.raises(SourceError, match="encoding is in doubt"):
        to_utf8(f"id;name\n1;{JAPANESE} ﾔﾏﾀﾞ\n".encode("cp932"), file="f.csv")


def test_lists_the_candidates_with_the_letters_that_each_gives() -> None:
    with pytest.raises(SourceError) as caught:
        to_utf8("id,name\n1,Muñoz\n".encode("cp1252"), file="f.csv")
    assert str(caught.value) == (
        "f.csv: the encoding is in doubt: it may be cp1252 (ñ) or cp1250 (ń); "
        "set source.encoding, or save the file as UTF-8"
    )


def test_keeps_utf8_where_few_sequences_are_broken() -> None:
    text = to_utf8("id,name\n1,Zoë\n2,Jörg\n3,".encode() + b"M\xfcller\n", file="f.csv")
    assert text.data.decode() == "id,name\n1,Zoë\n2,Jörg\n3,M\ufffdller\n"
    assert text.notes == ("read as utf-8; the rows that hold invalid bytes are rejected (1 found)",)


def test_replaces_a_stray_byte_in_plain_ascii() -> None:
    text = to_utf8(b"id,name\n1,Ann\n2,B\xffb\n3,Cy\n", file="f.csv")
    assert text.data.decode() == "id,name\n1,Ann\n2,B\ufffdb\n3,Cy\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param(TEXT.encode("utf-16-le")[:-1], "utf-16-le", id="half a character at the end"),
        pytest.param(b"id\n\x81\n", "cp1252", id="a byte that means nothing"),
        pytest.param(b"id\n\xff\n", "ascii", id="a byte beyond ASCII"),
        pytest.param(b"\xff\xfeid\x00", "utf-8", id="a mark that the text contradicts"),
        pytest.param(b"\x00\xd8\n\x00", "utf-16-le", id="half a pair"),
    ],
)
def test_replaces_what_cannot_be_decoded_under_the_named_encoding(data: bytes, encoding: str) -> None:
    assert "\ufffd" in to_utf8(data, file="f.csv", encoding=encoding).data.decode()


@pytest.mark.parametrize("encoding", ["idna", "punycode", "utf-7", "utf-32", "shift_jis", "gb18030"])
def test_never_ends_in_a_traceback_whatever_encoding_is_named(encoding: str) -> None:
    for data in (bytes(range(256)), b"\xff\xfe\x00", b"\\x", b"+", b"xn--\xff"):
        with contextlib.suppress(SourceError):
            to_utf8(data, file="f.csv", encoding=encoding).data.decode()


LISTS = (
    (("cp1250", "iso8859_2"), "Jiří Dvořák Zdeněk Květa Šimková Tomáš Novák Růžena Čermák Ondřej Lukáš Kučera"),
    (("cp1250", "iso8859_2"), "Paweł Łukasz Wójcik Małgorzata Zieliński Kamiński Śliwa Ząbek Błażej Świątek"),
    (("cp1250", "iso8859_2"), "Erdős Szűcs Kovács László Jenő Ágnes Győző Tóth Mária"),
    (("cp1252", "cp850", "mac_roman"), "Müller Jürgen Schäfer Größe Weiß Köhler Björn Übel Strauß"),
    (("cp1252", "cp850", "mac_roman"), "Noël Benoît François Hélène Zoé Jérôme Loïc Anaïs Thérèse"),
    (("cp1252",), "José Muñoz Begoña Núñez García Pérez Íñigo Martínez Ángel"),
    (("cp1252",), "João Conceição Luís Simões Antônio Mônica Inês Gonçalves"),
    (("cp1252", "cp850"), "Søren Bjørn Åse Ænne Jørgensen Håkon Kåre Øyvind"),
    (("cp1254",), "Şükrü I\u015f\u0131k Ayşe Çağlar Öztürk Gül Güneş Y\u0131ld\u0131z Doğan"),
    (("cp1251", "koi8_r", "iso8859_5", "mac_cyrillic"), "Иван Ольга Дмитрий Наталья Юлия Пётр Анна Кузнецов"),
    (("cp932", "euc_jp"), "田中 佐藤 鈴木 さくら ユウキ 高橋 渡辺"),
    (("gb18030", "big5"), "王伟 李娜 张敏 刘洋 陈静"),
)


def test_a_guess_is_seldom_wrong_for_short_and_mixed_lists_of_names() -> None:
    right = wrong = 0
    for seed in range(1500):
        rng = random.Random(seed)
        encodings, names = rng.choice(LISTS)
        encoding = rng.choice(encodings)
        words = rng.choices(names.split(), k=rng.choice((1, 2, 4, 10, 30)))
        if rng.random() < 0.4:
            words += rng.choices(rng.choice(LISTS[:6])[1].split(), k=2)
        text = "\n".join(f"{i};{word} Smith" for i, word in enumerate(words))
        with contextlib.suppress(UnicodeEncodeError, SourceError):
            decoded = to_utf8(text.encode(encoding), file="f.csv")
            if not any("rejected" in note for note in decoded.notes):
                right += decoded.data.decode() == text
                wrong += decoded.data.decode() != text
    assert wrong <= right / 100
    assert right > 350
