# SPDX-License-Identifier: GPL-3.0-or-later
"""Awkward documents, made here with the libraries' own writers: each ends as documented.

A document ends with its text, with a picture, or with a permanent error of a known kind.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docx
import openpyxl
import pptx
import pypdfium2  # type: ignore[import-untyped]
import pytest
from fake_ollama import FakeOllama
from lxml import etree
from openpyxl.worksheet.worksheet import Worksheet
from PIL import Image
from worker_cloud import Cloud, Worker, wait_for

from ollama_worker import mime
from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.events import parse_url
from ollama_worker.extract import extract
from ollama_worker.settings import MIB, Limits
from ollama_worker.sniff import compatible, sniff
from ollama_worker.source import LoadedDocument

LIMITS = Limits(
    extract_seconds=30,
    max_unpacked_bytes=64 * MIB,
    max_pages=50,
    max_text_characters=2_000_000,
    max_image_pixels=40_000_000,
)


# --- Writers ---------------------------------------------------------------------------------------


def pdf(texts: list[str], *, encrypt: bool = False, objects: int = 0) -> bytes:
    """A PDF by hand: one page per text."""
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for text in texts:
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        bodies.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        content = len(bodies)
        bodies.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {content} 0 R >>"
        )
        kids.append(f"{len(bodies)} 0 R")
    bodies[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    bodies += ["null"] * objects
    trailer = ""
    if encrypt:
        bodies.append(
            "<< /Filter /Standard /V 1 /R 2 /P -44 /O <" + "41" * 32 + "> /U <" + "42" * 32 + "> >>"
        )
        file_id = "<00112233445566778899aabbccddeeff>"
        trailer = f" /Encrypt {len(bodies)} 0 R /ID [{file_id} {file_id}]"
    out = io.BytesIO(b"")
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(bodies, 1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode())
    out.write("".join(f"{offset:010d} 00000 n \n" for offset in offsets).encode())
    out.write(
        f"trailer << /Size {len(bodies) + 1} /Root 1 0 R{trailer} >>\nstartxref\n{start}\n%%EOF".encode()
    )
    return out.getvalue()


def word(*paragraphs: str) -> bytes:
    document = docx.Document()
    document.core_properties.title = "A title"
    document.add_heading("Heading", 1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    table = document.add_table(2, 2)
    for row in range(2):
        for column in range(2):
            table.cell(row, column).text = f"cell {row}{column}"
    return saved(document)


def word_with_everything() -> bytes:
    """Text where the library's own view of a document has none."""
    document = docx.Document()
    section = document.sections[0]
    section.header.paragraphs[0].text = "in the header"
    section.footer.paragraphs[0].text = "in the footer"
    document.add_paragraph("plain")
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

    def run(text: str) -> str:
        return f"<w:r><w:t>{text}</w:t></w:r>"

    def paragraph(inner: str) -> str:
        return f"<w:p {w}>{inner}</w:p>"

    box = f"<w:txbxContent>{paragraph(run('in a box'))}</w:txbxContent>"
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    inner = f"<w:tbl><w:tr><w:tc>{paragraph(run('inner'))}</w:tc></w:tr></w:tbl>"
    beside = f"<w:tc>{paragraph(run('beside'))}</w:tc>"
    blocks = [
        f"<w:sdt {w}><w:sdtContent>{paragraph(run('in a control'))}</w:sdtContent></w:sdt>",
        paragraph(
            f"<w:ins>{run('inserted')}</w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        ),
        paragraph(
            f"<w:r><mc:AlternateContent {mc}><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
            "</mc:AlternateContent></w:r>"
        ),
        f"<w:tbl {w}><w:tr><w:tc>{paragraph(run('outer'))}{inner}</w:tc>{beside}</w:tr></w:tbl>",
    ]
    for block in blocks:
        document.element.body.insert(-1, etree.fromstring(block))
    return saved(document)


def slides(*texts: str) -> bytes:
    presentation = pptx.Presentation()
    for text in texts:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = text
        slide.notes_slide.notes_text_frame.text = "remember this"
    return saved(presentation)


def workbook(rows: list[list[object]], sheets: int = 1) -> bytes:
    book = openpyxl.Workbook()
    assert isinstance(book.active, Worksheet)
    book.active.title = "First"
    for row in rows:
        book.active.append(row)
    for number in range(1, sheets):
        book.create_sheet(f"Sheet {number}").append([f"on sheet {number}"])
    return saved(book)


def saved(thing: object) -> bytes:
    out = io.BytesIO()
    thing.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def zipped(entries: dict[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def with_part(archive: bytes, name: str, data: str) -> bytes:
    """An office document with another part in the place of one of its own."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        return zipped({entry: data if entry == name else old.read(entry) for entry in old.namelist()})


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def epub(chapters: list[str], extra: dict[str, bytes | str] | None = None) -> bytes:
    items = "".join(f'<item id="c{n}" href="c%20{n}.xhtml" media-type="x"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>Book</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    bodies = {f"OEBPS/c {n}.xhtml": f"<html><body>{text}</body></html>" for n, text in enumerate(chapters)}
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OEBPS/book.opf": package,
            **bodies,
            **(extra or {}),
        }
    )


def odt(body: str, extra: dict[str, bytes | str] | None = None) -> bytes:
    content = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0">'
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.text"
    return zipped({"mimetype": kind, "content.xml": content, **(extra or {})})


def mail(text: str = "Hello there", *, html: str = "", attach: bool = False) -> bytes:
    message = EmailMessage()
    message["From"] = "a@example.com"
    message["To"] = "b@example.com"
    message["Subject"] = "Grüße aus Köln"
    if html and not text:
        message.set_content(html, subtype="html")
    else:
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
    if attach:
        message.add_attachment(b"\0" * 100, maintype="application", subtype="pdf", filename="invoice.pdf")
    return bytes(message)


def picture(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **arguments: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **arguments)
    return out.getvalue()


def animated() -> bytes:
    frames = [Image.new("RGB", (40, 40), (n * 20, 0, 0)) for n in range(8)]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


def rotated() -> bytes:
    image = Image.new("RGB", (100, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture_of(image, "JPEG", exif=exif)


def picture_of(image: Image.Image, kind: str, **arguments: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **arguments)
    return out.getvalue()


def png_bomb() -> bytes:
    """60,000 x 60,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def entities(depth: int = 9) -> str:
    lines = ['<!ENTITY a0 "lol">']
    lines += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, depth)]
    return f'<?xml version="1.0"?><!DOCTYPE lolz [{"".join(lines)}]><lolz>&a{depth - 1};</lolz>'


def external() -> str:
    return '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


def lying_zip() -> bytes:
    """Its directory promises 10 bytes; it unpacks to 30 MB."""
    bomb = bytearray(
        zipped({"word/document.xml": b"<a>" + b" " * 30_000_000 + b"</a>", "[Content_Types].xml": "<Types/>"})
    )
    real = struct.pack("<I", 30_000_007)
    position = bomb.rfind(real)
    while position != -1:
        bomb[position : position + 4] = struct.pack("<I", 10)
        position = bomb.rfind(real, 0, position)
    return bytes(bomb)


def many_entries() -> bytes:
    return zipped({f"word/{n}": "" for n in range(20_100)})


# --- The corpus ------------------------------------------------------------------------------------

_NOISE = random.Random(2).randbytes(5000)  # noqa: S311 - the same noise each time
_RTF = r"{\rtf1\ansi\ansicpg1252 Caf\'e9 and \u8364? \b bold\b0 .\par Second line.}"
_NEKO = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で"
    "ニャーニャー泣いていた事だけは記憶している。\n" * 20
)


@dataclass(frozen=True)
class Case:
    """A document: its name, its bytes, and how it ends."""

    name: str
    make: Callable[[], bytes]
    text: str = ""
    error: str = ""
    image: bool = False
    vision: bool = False
    limits: Limits = LIMITS
    id: str = ""


def t(name: str, data: bytes | str | Callable[[], bytes], text: str = "", **more: object) -> Case:
    raw = data.encode() if isinstance(data, str) else data
    return Case(name, raw if callable(raw) else lambda: raw, text, **more)  # type: ignore[arg-type]


CASES = [
    # Text and its character sets.
    t("nothing.txt", b"", error="empty-document", id="0 bytes"),
    t("plain.txt", "Hello.", "Hello."),
    t("upper.TXT", "HELLO.", "HELLO."),
    t("bom.txt", b"\xef\xbb\xbfwith a mark", "with a mark"),
    t("utf16.txt", "sixteen bits: ä".encode("utf-16"), "sixteen bits: ä"),
    t("utf16be.txt", b"\xfe\xff" + "big end".encode("utf-16-be"), "big end"),
    t("utf32.txt", "thirty-two".encode("utf-32"), "thirty-two"),
    t(
        "latin1.txt",
        ("Le café est près de l'église, où l'été dure. " * 20).encode("latin-1"),
        "café est près",
    ),
    t("cp1251.txt", ("Съешь же ещё этих мягких французских булок. " * 20).encode("cp1251"), "французских"),
    t("shiftjis.txt", _NEKO.encode("shift_jis"), "吾輩は猫である"),
    t("gb18030.txt", ("人人生而自由\uff0c在尊严和权利上一律平等。" * 20).encode("gb18030"), "人人生而自由"),
    t("hebrew.txt", "כל בני האדם נולדו בני חורין", "בני האדם"),
    t("arabic.md", "# عنوان\n\nيولد جميع الناس أحرارًا", "يولد جميع"),
    t("emoji.txt", "family: 👨‍👩‍👧‍👦 flag: 🇪🇺", "👨‍👩‍👧‍👦"),
    t("surrogate.txt", b"before \xed\xa0\x80 after" * 30, "before \ufffd after"),
    t("broken-bom.txt", b"\xff\xfe\x00\xd8\x00\xd8\x41", error="undecodable-text"),
    t("binary.txt", _NOISE, error="undecodable-text"),
    t("nul.txt", b"text with \0 in it" * 10, error="undecodable-text"),
    t("zero.txt", b"\0" * 4096, error="undecodable-text"),
    t("blank.txt", " \n\t\r\n ", error="empty-document"),
    t("controls.txt", "a\x01b\x1b[31mred", "red"),
    t("one-line.txt", "x" * 1_000_000, "xxx"),
    t("crlf.csv", "a,b\r\n1,2\r\n", "1,2"),
    t("quoted.csv", 'a,"b\nc",d\n', "b\nc"),
    t("huge.csv", lambda: b"1,2,3,4,5,6,7,8,9\n" * 11_000_000, error="document-too-large", id="200 MB csv"),
    t("nested.json", "[" * 100_000, "[[["),
    t("data.json", json.dumps({"ключ": "значение"}, ensure_ascii=False), "значение"),
    t(
        "cues.srt",
        "1\n00:00:01,000 --> 00:00:02,000\nHi.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.\n",
        "Bye.",
    ),
    t("cues.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", "Hello"),
    t("wrong.txt", lambda: pdf(["I am a PDF"]), error="wrong-type"),
    t("wrong.pdf", "I am text", error="unreadable-document"),
    t("wrong.png", "I am text", error="unreadable-document", vision=True),
    t("wrong.docx", lambda: workbook([["I am a workbook"]]), error="wrong-type"),
    # HTML.
    t("page.html", "<h1>Title</h1><p>One <b>two</b>&amp;three</p><ul><li>a<li>b</ul>", "# Title"),
    t(
        "remote.html",
        '<img src="http://127.0.0.1:9/x.png" alt="a cat"><script src="http://127.0.0.1:9/"></script><p>Text',
        "a cat",
    ),
    t("script.html", "<script>alert('evil')</script><style>p{}</style>only this", "only this"),
    t("deep.html", "<div>" * 50_000 + "deep", "", error="*"),
    t("meta.html", '<meta charset="iso-8859-2"><p>Zażółć gęślą jaźń'.encode("iso-8859-2"), "Zażółć"),
    t(
        "declared.html",
        '<?xml version="1.0" encoding="utf-8"?><html><body>declared</body></html>',
        "declared",
    ),
    t("table.html", "<table><tr><th>a<th>b<tr><td>1<td>2</table>", "1 | 2"),
    t("nothing.html", "<html><head><title>x</title></head><body></body></html>", error="empty-document"),
    t("entity.xhtml", entities().replace("lolz>&", "html>&"), "", error="*"),
    t("entity.xml", entities(), "<!ENTITY"),
    # PDF.
    t("two.pdf", lambda: pdf(["First page", "Second page"]), "First page"),
    t("scanned.pdf", lambda: pdf(["", ""]), error="no-text"),
    t("scanned-seen.pdf", lambda: pdf(["", ""]), image=True, vision=True),
    t("mixed.pdf", lambda: pdf(["With text", ""]), "With text"),
    t("encrypted.pdf", lambda: pdf(["secret"], encrypt=True), error="encrypted-document"),
    t("truncated.pdf", lambda: pdf(["Some text"])[:150], error="unreadable-document"),
    t("noise.pdf", lambda: b"%PDF-1.7\n" + _NOISE, error="unreadable-document"),
    t("pages.pdf", lambda: pdf(["x"] * 60), error="document-too-large"),
    t(
        "objects.pdf",
        lambda: pdf(["Still readable"], objects=1_000_000),
        "Still readable",
        id="a million objects",
    ),
    # Office.
    t("report.docx", lambda: word("First.", "Zweitens: äöü"), "# Heading"),
    t("table.docx", lambda: word("x"), "cell 00 | cell 01"),
    t(
        "everything.docx",
        word_with_everything,
        "plain\n\nin a control\n\ninserted\n\nin a box\n\nouter inner | beside\n\nin the header\n\nin the footer",
    ),
    t("truncated.docx", lambda: word("x")[:2000], error="unreadable-document"),
    t("empty.docx", lambda: saved(docx.Document()), error="empty-document"),
    t("no-parts.docx", lambda: zipped({"word/readme.txt": "x"}), error="unreadable-document"),
    t("bomb.docx", lambda: zipped({"word/document.xml": b"\0" * 100_000_000}), error="document-too-large"),
    t("lying.docx", lying_zip, error="unreadable-document"),
    t("entries.docx", many_entries, error="document-too-large"),
    t("entities.docx", lambda: with_part(word("x"), "word/document.xml", entities()), error="*"),
    t("external.docx", lambda: with_part(word("x"), "word/document.xml", external()), error="*"),
    t(
        "entities.xlsx",
        lambda: with_part(workbook([["x"]]), "xl/worksheets/sheet1.xml", entities()),
        error="*",
    ),
    t("deck.pptx", lambda: slides("Opening", "Closing"), "remember this"),
    t("empty.pptx", lambda: saved(pptx.Presentation()), error="empty-document"),
    t("sums.xlsx", lambda: workbook([["name", "sum"], ["a", 1.5], [None, None], ["ü", True]], 3), "name,sum"),
    t("empty.xlsx", lambda: workbook([]), error="empty-document"),
    t("ole.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000, error="wrong-type"),
    t(
        "note.odt",
        lambda: odt("<text:h text:outline-level='2'>Head</text:h><text:p>Body<text:tab/>x</text:p>"),
        "## Head",
    ),
    t(
        "protected.odt",
        lambda: odt("", {"META-INF/manifest.xml": "<m><encryption-data/></m>"}),
        error="encrypted-document",
    ),
    t(
        "bomb.odt",
        lambda: zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": entities()}),
        error="unreadable-document",
    ),
    t(
        "external.odt",
        lambda: zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": external()}),
        error="unreadable-document",
    ),
    # Books, mail, RTF.
    t("book.epub", lambda: epub(["<h1>One</h1><p>first</p>", "<p>second</p>"]), "# One\n\nfirst\fsecond"),
    t("drm.epub", lambda: epub(["x"], {"META-INF/rights.xml": "<r/>"}), error="encrypted-document"),
    t("no-spine.epub", lambda: epub([]), error="empty-document"),
    t("entities.epub", lambda: epub(["x"], {"OEBPS/book.opf": entities()}), error="unreadable-document"),
    t("escape.epub", lambda: epub(["safe"], {"../../../../tmp/evil": "x"}), "safe"),
    t("letter.rtf", _RTF, "Café and €"),
    t("not.rtf", "no rtf at all", error="unreadable-document"),
    t("plain.eml", mail, "Subject: Grüße aus Köln"),
    t("html.eml", lambda: mail("", html="<p>Only <b>HTML</b></p>"), "Only HTML"),
    t("attached.eml", lambda: mail(attach=True), "Attachments: invoice.pdf"),
    t("headless.eml", "just text\n\nand more", error="unreadable-document"),
    # Pictures.
    t("photo.jpeg", lambda: picture("JPEG"), image=True, vision=True),
    t("cmyk.jpg", lambda: picture("JPEG", mode="CMYK"), image=True, vision=True),
    t("gray16.png", lambda: picture("PNG", mode="I;16"), image=True, vision=True),
    t("palette.png", lambda: picture("PNG", mode="P"), image=True, vision=True),
    t("clear.png", lambda: picture("PNG", mode="RGBA"), image=True, vision=True),
    t("rotated.jpg", rotated, image=True, vision=True),
    t("animated.webp", animated, image=True, vision=True),
    t("large.jpg", lambda: picture("JPEG", (6000, 5000)), image=True, vision=True, id="30 megapixels"),
    t("thin.png", lambda: picture("PNG", (1, 20_000)), image=True, vision=True),
    t("bomb.png", png_bomb, error="document-too-large", vision=True),
    t("truncated.jpg", lambda: picture("JPEG", (500, 500))[:600], error="unreadable-document", vision=True),
    t("gif-inside.png", lambda: picture("GIF", mode="P"), image=True, vision=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id or case.name)
def test_each_awkward_document_ends_as_documented(case: Case, tmp_path: Path) -> None:
    data = case.make()
    loaded = LoadedDocument("e", len(data), "", {}, data=data)
    if len(data) > LIMITS.max_memory_bytes:
        path = tmp_path / "large"
        path.write_bytes(data)
        loaded = LoadedDocument("e", len(data), "", {}, path=path)
    kind = mime.type_of_key(case.name)
    assert kind is not None
    outcome: Content | PermanentError
    try:
        outcome = read(loaded, kind, case, tmp_path)
    except PermanentError as error:
        outcome = error
    finally:
        loaded.discard()
    if isinstance(outcome, PermanentError):
        assert case.error in (outcome.slug, "*"), str(outcome)
        return
    content = outcome
    assert case.error in ("", "*"), f"read as {content.text[:200]!r}"
    assert case.text in content.text
    assert bool(content.images) is case.image
    for image in content.images:
        with Image.open(io.BytesIO(image)) as opened:
            assert opened.format in ("PNG", "JPEG")
            assert opened.mode in ("RGB", "L")
            assert max(opened.size) <= LIMITS.max_image_side
    assert [path for path in tmp_path.iterdir() if path.name.startswith("extract-")] == []


def read(loaded: LoadedDocument, kind: str, case: Case, folder: Path) -> Content:
    """As the worker reads a document that says it is of a type."""
    found = sniff(loaded.head())
    if found is not None and not compatible(kind, found):
        raise PermanentError("told otherwise", slug="wrong-type")
    return extract(loaded, kind, case.limits, work_dir=folder, vision=case.vision)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(CASES) >= 60


@pytest.mark.slow
def test_the_worker_outlives_the_corpus(cloud: Cloud, ollama: FakeOllama, tmp_path: Path) -> None:
    """All of it through one worker with a model that sees: each document has a result, or failed for its reason."""
    kinds = sorted({str(mime.type_of_key(case.name)) for case in CASES})
    cloud.define(inputs=kinds, capabilities=["completion", "vision"])
    keys = {f"{number:03}/{case.name}": case for number, case in enumerate(CASES)}
    for key, case in keys.items():
        cloud.put(key, case.make())
    limits = {f"PASTURE_{name.upper()}": str(value) for name, value in asdict(LIMITS).items()}
    settings = cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_SLOTS="2", **limits)
    with Worker(settings, tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, 600, worker=worker)
        cloud.put("last.txt", "It lives.")
        wait_for(lambda: "summarize/last.txt.txt" in cloud.result_keys(), worker=worker)
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        assert worker.stop() == 0
    results = set(cloud.result_keys())
    events = [
        event["detail"]["data"] for event in cloud.announced() if event["detail-type"] == "document-failed"
    ]
    failed = {parse_url(data["document"]["url"])[1]: data["error"]["type"] for data in events}
    for key, case in keys.items():
        if f"summarize/{key}.txt" in results:
            # A PDF without text is no failure for a model that sees.
            assert case.error in ("", "*", "no-text"), key
            assert key not in failed
        else:
            assert failed[key] == case.error or case.error == "*", key
    # Among them were 200 MB of text and a million objects: neither was in the worker's memory.
    (peak,) = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")]
    assert peak < 200


def test_a_reader_that_takes_too_long_or_too_much_memory_is_ended(tmp_path: Path) -> None:
    data = pdf(["x"], objects=1_000_000)
    loaded = LoadedDocument("e", len(data), "", {}, data=data)
    # No reader starts, let alone ends, in no time: the outcome does not depend on the machine's speed.
    hasty = replace(LIMITS, extract_seconds=0)
    with pytest.raises(PermanentError) as caught:
        extract(loaded, "application/pdf", hasty, work_dir=tmp_path, vision=False)
    assert caught.value.slug == "extraction-timeout"
    poor = replace(LIMITS, extract_memory_bytes=90 * MIB)
    data = picture("PNG", (6000, 5000), "RGBA")
    loaded = LoadedDocument("e", len(data), "", {}, data=data)
    with pytest.raises(PermanentError) as caught:
        extract(loaded, "image/png", poor, work_dir=tmp_path, vision=True)
    assert caught.value.slug in ("extraction-memory", "extraction-crashed")


def test_nothing_is_fetched_that_a_document_refers_to(tmp_path: Path) -> None:
    visits: list[str] = []

    class Visited(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Visited) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        html = (
            f'<base href="{url}/"><link rel="stylesheet" href="a.css"><script src="b.js"></script>'
            f'<img src="c.png"><iframe src="d.html"></iframe><object data="e"></object><p>Text</p>'
        )
        dtd = f'<!DOCTYPE x SYSTEM "{url}/f.dtd" [<!ENTITY e SYSTEM "{url}/g">]>'
        link = f'<Relationships><Relationship Id="r" Type="t" Target="{url}/h" TargetMode="External"/></Relationships>'
        documents = {
            "page.html": html.encode(),
            "page.xhtml": f"{dtd}<html><body><p>Text &e;</p></body></html>".encode(),
            "mail.eml": mail("", html=html),
            "book.epub": epub([html]),
            "note.odt": with_part(odt("<text:p>x</text:p>"), "content.xml", f"{dtd}<x>&e;</x>"),
            "report.docx": with_part(word("x"), "word/_rels/settings.xml.rels", link),
        }
        for name, data in documents.items():
            loaded = LoadedDocument("e", len(data), "", {}, data=data)
            with contextlib.suppress(PermanentError):
                extract(loaded, str(mime.type_of_key(name)), LIMITS, work_dir=tmp_path, vision=False)
        server.shutdown()
    assert visits == []


def test_the_picture_of_a_rotated_photograph_stands_upright(tmp_path: Path) -> None:
    data = rotated()
    loaded = LoadedDocument("e", len(data), "", {}, data=data)
    content = extract(loaded, "image/jpeg", LIMITS, work_dir=tmp_path, vision=True)
    with Image.open(io.BytesIO(content.images[0])) as opened:
        assert opened.size == (20, 100)


def test_the_library_reads_what_the_writer_of_these_tests_wrote() -> None:
    assert len(pypdfium2.PdfDocument(pdf(["a", "b"]))) == 2
