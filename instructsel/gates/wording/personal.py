"""Personal data of a text: addresses of mail, numbers of telephones, cards, accounts and identity cards, by form and checksum.

Numbers that nobody has are told apart: those of documentation, of films, and of payment providers' tests.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from instructsel.extras import require

ENTITIES: Final = {
    "email": "an e-mail address",
    "phone": "a telephone number",
    "card": "the number of a payment card",
    "iban": "the number of a bank account",
    "national-id": "the number of an identity card",
    "ip": "an IP address",
}
"""Entity → what messages call it."""
NEEDED_BY: Final = "The check personal-data"

EMAIL: Final = re.compile(
    r"(?<![\w.+%-])[\w+%-][\w.+%-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![\w@-])"
)
NO_DOMAIN: Final = re.compile(
    r"(?:^|[@.])(?:example|test|invalid|localhost|local|yourdomain|your-domain|yourcompany|your-company|mydomain|yourwebsite|yoursite|yourstore|youremail|fake\w*|placeholder|sample)(?:\.|$)"
    r"|@(?:domain|email|xyz|abc|foo|bar|mail|server|host|site|website|provider)\.\w+$|\.(?:example|test|invalid|localhost|local)$",
    re.IGNORECASE,
)
"""Domains of documentation (RFC 2606)."""
FILE: Final = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|js|css|py|html?)$", re.IGNORECASE)
"""Names of files look like addresses."""
NO_ONE: Final = re.compile(
    r"^(?:your[\w.-]*|user(?:name)?|e?mail|name|first\w*\.last\w*|someone|somebody|nobody|no-?reply|do-?not-?reply|xx+|git|abc|foo|bar|example|test|me|you)@",
    re.IGNORECASE,
)

FIGURES: Final = re.compile(r"(?:\d[^\d\n]{0,3}){7}")
"""Seven figures close together: what every number here has."""
NO_DIGITS: Final = bytes(code for code in range(128) if not chr(code).isdigit())
PHONE: Final = re.compile(
    r"(?<![\w.,/=#+-])(?:\+|00)?\(?\d[\d()]{0,6}(?:[ .\-/\u00a0\u2010-\u2013]{0,2}\(?\d{1,6}\)?){1,6}(?![\w-])(?!\.\d)"
)
CALLED: Final = re.compile(
    r"(?:phone|tel(?:efon|éfono|efone|éphone)?|call|mobile|cell|fax|whatsapp|dial|text|sms|handy|contact|number|reach|телефон|тел|电话|電話|手机|전화)[\w ]{0,16}\W{0,4}$",
    re.IGNORECASE,
)
"""What stands in front of a number that is one of a telephone."""
SINGLE: Final = re.compile(r" \d$")
MOST_FIGURES: Final = 16
"""Of a number of a telephone, with 00 in front; a figure alone behind it is another number."""
FICTION: Final = re.compile(
    r"^\+1\d{3}555\d{4}$|^\+1555\d{7}$|^\+441134960\d{3}$|^\+441(?:14|15|16|17|18|21|31|41|51|61|91)\d?496\d{4}$|^\+441632960\d{3}$|^\+442079460\d{3}$|^\+447700900\d{3}$|^\+448081570\d{3}$"
    r"|^\+443069990\d{3}$|^\+61(?:491570|255501|355501|755501|855501)\d{1,4}$|^\+33(?:1990|2610|3530|4650|5360|6399)\d+$|^\+493023125\d{3}$|^\+4969900\d{5}$|^\+35320915\d{4}$"
)
"""Numbers that authorities keep for films and documentation."""
YEARS: Final = re.compile(r"\((?:1[5-9]|20)\d\d\b")
COUNTED: Final = re.compile(r"(\d)\1{5,}|0123456|1234567|2345678|3456789|9876543|7654321")

CARD: Final = re.compile(r"(?<![\w.+-])(?:\d[ -]?){12,18}\d(?![\w-])(?!\.\d)")
RUN: Final = re.compile(r"\d{13,19}")
ISSUERS: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
    r"|(?:50|5[6-9]|6[0-9])\d{12,17}"
)
"""Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro."""
TEST_CARDS: Final = frozenset(
    [
        "4111111111111111",
        "4242424242424242",
        "4012888888881881",
        "4000056655665556",
        "4222222222222",
        "4000000000000002",
        "4000000000009995",
        "4917610000000000",
        "4917484589897107",
        "4001919257537193",
        "4007702835532454",
        "4263970000005262",
        "4444333322221111",
        "4988438843884305",
        "4166676667666746",
        "4646464646464644",
        "4000000000000077",
        "4000002500003155",
        "5555555555554444",
        "5105105105105100",
        "2223003122003222",
        "5200828282828210",
        "5425233430109903",
        "2222420000001113",
        "5454545454545454",
        "5577000055770004",
        "5500000000000004",
        "5424000000000015",
        "378282246310005",
        "371449635398431",
        "378734493671000",
        "340000000000009",
        "370000000000002",
        "6011111111111117",
        "6011000990139424",
        "6011981111111113",
        "6011000000000004",
        "3056930009020004",
        "36227206271667",
        "30569309025904",
        "38520000023237",
        "30000000000004",
        "3566002020360505",
        "3530111333300000",
        "6200000000000005",
        "6759649826438453",
        "6799990100000000019",
        "6304000000000000",
        "6331101999990016",
        "5610591081018250",
    ]
)
"""Numbers of payment providers' tests."""

IBAN: Final = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![\w-])")
ADDRESS: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]|-\d)")
VERSION: Final = re.compile(r"(?:version|ver\.?|v|release|build|chapter|section)\s{0,2}$", re.IGNORECASE)
BEFORE: Final = 40
"""Characters before a number in which it is named."""


@dataclass(frozen=True)
class NationalId:
    """A number of an identity card, of a social insurance, or of a tax payer."""

    name: str
    module: str
    """Of python-stdnum."""
    pattern: str
    named: str = ""
    """What has to stand before it: its form alone says too little."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(rf"(?<![\w.,-])(?:{self.pattern})(?![\w-])(?!\.\d)"))
        object.__setattr__(self, "calling", re.compile(self.named, re.IGNORECASE) if self.named else None)


IDS: Final = (
    NationalId("us-ssn", "stdnum.us.ssn", r"\d{3}-\d{2}-\d{4}"),
    NationalId("us-ssn", "stdnum.us.ssn", r"\d{9}|\d{3} \d{2} \d{4}", r"ssn|social security"),
    NationalId("de-tax-id", "stdnum.de.idnr", r"\d{2} \d{3} \d{3} \d{3}|\d{11}"),
    NationalId("fr-nir", "stdnum.fr.nir", r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"),
    NationalId("es-dni", "stdnum.es.dni", r"\d{8}-[A-Z]"),
    NationalId("es-dni", "stdnum.es.dni", r"\d{8} ?[A-Z]", r"dni|nif|documento|identidad|spanish"),
    NationalId("es-nie", "stdnum.es.nie", r"[XYZ]-?\d{7}-?[A-Z]"),
    NationalId("it-fiscal-code", "stdnum.it.codicefiscale", r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]"),
    NationalId("pl-pesel", "stdnum.pl.pesel", r"\d{11}"),
    NationalId("tr-identity", "stdnum.tr.tckimlik", r"[1-9]\d{10}"),
    NationalId("nl-bsn", "stdnum.nl.bsn", r"\d{9}|\d{4}\.\d{2}\.\d{3}", r"bsn|burgerservice|sofi"),
    NationalId("be-national", "stdnum.be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}|\d{11}"),
    NationalId("se-person", "stdnum.se.personnummer", r"(?:19|20)?\d{6}[-+]\d{4}"),
    NationalId("no-birth", "stdnum.no.fodselsnummer", r"\d{6} ?\d{5}"),
    NationalId("dk-cpr", "stdnum.dk.cpr", r"\d{6}-\d{4}", r"cpr|person"),
    NationalId("fi-hetu", "stdnum.fi.hetu", r"\d{6}[-+A]\d{3}[0-9A-Y]"),
    NationalId("gb-nhs", "stdnum.gb.nhs", r"\d{3} ?\d{3} ?\d{4}", r"nhs"),
    NationalId("br-cpf", "stdnum.br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    NationalId("br-cpf", "stdnum.br.cpf", r"\d{11}", r"cpf"),
    NationalId("ar-cuit", "stdnum.ar.cuit", r"(?:20|23|24|25|26|27)-\d{8}-\d"),
    NationalId("cl-rut", "stdnum.cl.rut", r"\d{1,2}\.\d{3}\.\d{3}-[\dkK]"),
    NationalId("mx-curp", "stdnum.mx.curp", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d"),
    NationalId("cn-resident", "stdnum.cn.ric", r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]"),
    NationalId("in-aadhaar", "stdnum.in_.aadhaar", r"[2-9]\d{3} \d{4} \d{4}"),
    NationalId("in-aadhaar", "stdnum.in_.aadhaar", r"[2-9]\d{11}", r"aadha+r|uid"),
    NationalId("in-pan", "stdnum.in_.pan", r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]", r"\bpan\b|income tax"),
    NationalId("kr-resident", "stdnum.kr.rrn", r"\d{6}-[1-8]\d{6}"),
    NationalId("za-identity", "stdnum.za.idnr", r"\d{6} ?\d{4} ?\d{3}", r"\bid\b|identity"),
    NationalId("ca-sin", "stdnum.ca.sin", r"\d{3}[- ]?\d{3}[- ]?\d{3}", r"\bsin\b|social insurance"),
    NationalId("au-tfn", "stdnum.au.tfn", r"\d{3} ?\d{3} ?\d{3}", r"tfn|tax file"),
    NationalId("pt-nif", "stdnum.pt.nif", r"\d{9}", r"\bnif\b|contribuinte"),
)
NO_SSN: Final = frozenset({"123456789", "078051120", "219099999", "111111111", "987654321", "987654320", "457555462"})


@dataclass(frozen=True, slots=True)
class Entity:
    """Personal data in a text."""

    kind: str
    """One of ENTITIES."""
    start: int
    end: int
    detail: str = ""
    """Which kind of identity card."""
    is_invented: bool = False
    """Whether nobody has it: it is one of documentation, of films, or of a payment provider's tests."""


def entities_in(text: str, kinds: Sequence[str], regions: Sequence[str] = ("US",)) -> Iterator[Entity]:
    """The personal data of a text, what is invented among it, in no order; what two kinds claim is the first one's.

    Args:
        text: of any length.
        kinds: some of ENTITIES.
        regions: countries whose numbers of telephones count without their country's code.
    """
    taken: list[tuple[int, int]] = []

    def is_free(start: int, end: int) -> bool:
        return not any(start < there_end and there < end for there, there_end in taken[-64:])

    if "email" in kinds and "@" in text:
        for match in EMAIL.finditer(text):
            if is_address(match[0]):
                taken.append(match.span())
                yield Entity("email", *match.span(), is_invented=is_invented_address(match[0]))
    # An IP address may have four figures.
    if "ip" not in kinds and not ((not text.isascii() or len(text.encode().translate(None, NO_DIGITS)) >= 7) and FIGURES.search(text)):
        return
    for kind, search in SEARCHES.items():
        if kind in kinds:
            for start, end, detail, is_invented in search(text, regions):
                if is_free(start, end):
                    taken.append((start, end))
                    yield Entity(kind, start, end, detail, is_invented)


def is_address(address: str) -> bool:
    """Whether what has the form of an address of mail may be one, and is no name of a file."""
    local, _, domain = address.rpartition("@")
    return not (FILE.search(domain) or ".." in address or local.endswith("."))


def is_invented_address(address: str) -> bool:
    """Whether an address of mail is one of documentation."""
    return bool(NO_DOMAIN.search("@" + address.rpartition("@")[2]) or NO_ONE.match(address))


Places = Iterator[tuple[int, int, str, bool]]
"""From where to where, what kind of identity card, and whether it is invented."""


def _ibans(text: str, regions: Sequence[str]) -> Places:
    iban = require("stdnum.iban", needed_by=NEEDED_BY)
    for match in IBAN.finditer(text):
        words = match[0].split(" ")
        # A word in capitals behind the number is no part of it.
        for count in range(len(words), 0, -1):
            number = " ".join(words[:count])
            if len(number.replace(" ", "")) >= 15 and iban.is_valid(number, check_country=False):
                yield match.start(), match.start() + len(number), "", False
                break


def _cards(text: str, regions: Sequence[str]) -> Places:
    luhn = require("stdnum.luhn", needed_by=NEEDED_BY)

    def is_card(number: str) -> bool:
        return ISSUERS.fullmatch(number) is not None and luhn.is_valid(number) and (number in TEST_CARDS or len(set(number)) >= 4)

    for match in CARD.finditer(text):
        groups = re.split("[ -]", match[0])
        sizes = [len(group) for group in groups]
        # Groups of one figure are a list of numbers; a number without groups has to begin as cards do most.
        if is_card("".join(groups)) and (len(groups) == 1 or (min(sizes) >= 3 and max(sizes) <= 7)):
            if " " not in match[0] or not _among_numbers(text, match):
                yield *match.span(), "", "".join(groups) in TEST_CARDS
            continue
        # A figure of the sentence beside a number without groups is no part of it.
        runs = list(RUN.finditer(match[0]))
        if len(runs) == 1 and is_card(runs[0][0]):
            yield match.start() + runs[0].start(), match.start() + runs[0].end(), "", runs[0][0] in TEST_CARDS


def _among_numbers(text: str, match: re.Match[str]) -> bool:
    """Whether groups of figures stand between others: a list of numbers."""
    before, after = text[max(0, match.start() - 2) : match.start()], text[match.end() : match.end() + 2]
    return re.fullmatch(r"\d ", before) is not None or re.fullmatch(r" \d", after) is not None


def _ids(text: str, regions: Sequence[str]) -> Places:
    for entry in IDS:
        for match in entry.compiled.finditer(text):  # type: ignore[attr-defined]
            calling = entry.calling  # type: ignore[attr-defined]
            if calling is not None and not calling.search(text[max(0, match.start() - BEFORE) : match.start()]):
                continue
            if " " in match[0] and _among_numbers(text, match):
                continue
            figures = re.sub(r"\W", "", match[0])
            is_invented = figures in NO_SSN or COUNTED.search(figures) is not None or len(set(figures)) < 3
            if (is_invented and entry.name == "us-ssn") or (
                not is_invented and require(entry.module, needed_by=NEEDED_BY).is_valid(match[0])
            ):
                yield *match.span(), entry.name, is_invented


def _phones(text: str, regions: Sequence[str]) -> Places:
    phonenumbers = require("phonenumbers", needed_by=NEEDED_BY)
    for match in PHONE.finditer(text):
        written = match[0]
        figures = sum(map(str.isdigit, written))
        # A number that follows is no part of it.
        while written[0] == "+" and (figures > MOST_FIGURES or SINGLE.search(written)) and " " in written:
            written = written.rpartition(" ")[0]
            figures = sum(map(str.isdigit, written))
        # Groups of one figure, but the first, are a list of numbers.
        if not 7 <= figures <= MOST_FIGURES or any(
            len(group) == 1 for group in re.findall(r"\d+", written)[2 if written[0] == "+" else 1 :]
        ):
            continue
        is_international = written[0] == "+" or (written.startswith("00") and figures >= 11)
        called = CALLED.search(text[max(0, match.start() - BEFORE) : match.start()]) is not None
        if not is_international and not (called or _in_groups(written)):
            continue
        while written:
            is_invented = _invented_phone(phonenumbers, written, () if is_international else regions, called)
            if is_invented is not None:
                yield match.start(), match.start() + len(written), "", is_invented
                break
            written = written.rpartition(" ")[0] if is_international else ""


def _in_groups(written: str) -> bool:
    """Whether a number is written as telephones are: an area in brackets, or three groups, the last of four figures."""
    groups = re.findall(r"\d+", written)
    if "(" in written:
        return len(groups) >= 2 and not YEARS.search(written)
    separators = set(re.findall(r"[^\d()]", written))
    return len(groups) == 3 and len(separators) == 1 and separators <= set("-. ") and [len(group) for group in groups] == [3, 3, 4]


def _invented_phone(phonenumbers: Any, written: str, regions: Sequence[str], called: bool) -> bool | None:
    """Whether nobody has a number of a telephone; None of what is none."""
    text = "+" + written[2:] if not regions and written.startswith("00") else written
    for region in regions or (None,):
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        international = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if FICTION.match(international) or COUNTED.search(international):
            return True
        if phonenumbers.number_type(number) in _services(phonenumbers):
            return None
        if phonenumbers.is_valid_number(number) and (called or not regions or phonenumbers.region_code_for_number(number) == region):
            return False
    return None


def _services(phonenumbers: Any) -> tuple[int, ...]:
    """Numbers of services, which are nobody's."""
    kinds = phonenumbers.PhoneNumberType
    return kinds.TOLL_FREE, kinds.PREMIUM_RATE, kinds.SHARED_COST


def _addresses(text: str, regions: Sequence[str]) -> Places:
    for match in ADDRESS.finditer(text):
        if VERSION.search(text[max(0, match.start() - 12) : match.start()]):
            continue
        try:
            address = ipaddress.ip_address(match[0])
        except ValueError:
            continue
        if address.is_global and str(address) not in ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4"):
            yield *match.span(), "", False


SEARCHES: Final[dict[str, Callable[[str, Sequence[str]], Places]]] = {
    "iban": _ibans,
    "card": _cards,
    "national-id": _ids,
    "phone": _phones,
    "ip": _addresses,
}
"""Entity → how it is looked for; what several claim is the first one's."""
LIBRARIES: Final = {"iban": "stdnum", "card": "stdnum", "national-id": "stdnum", "phone": "phonenumbers"}
"""Entity → the module that it needs."""

__all__ = ["ENTITIES", "LIBRARIES", "Entity", "entities_in"]
