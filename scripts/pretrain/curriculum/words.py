"""Invented words, numbers, identifiers and short descriptions in five languages."""

from __future__ import annotations

from random import Random

from .guard import reserved

LANGUAGES = ("en", "ko", "zh", "ja", "es")

ENGLISH = (
    "amount angle area badge bakery barn basket beach bell bottle branch bread bridge brush "
    "bucket cabin camera candle canal carpet castle chair city clock cloud coast coffee colour "
    "copper corner cotton count cousin cover cup curve date depth desk door dream edge engine "
    "entry event factor farm field figure first flag floor flower forest fork fruit garden gate "
    "glass goal grain guest guide hall hammer harbour height hill hotel index island item jacket "
    "journey key kitchen ladder lamp leaf left length letter level library limit list lower mark "
    "market mass meadow meal method metal mirror mode month motor mountain name needle note "
    "object ocean order origin owner paint panel paper park part path pencil phone piece place "
    "plant plate point price queen quick rain range rate record result ribbon right river road "
    "roof room route sail scale school score second shape shelf ship side signal size slope snow "
    "soup source speed spoon spring stamp start station step stone storm street student style "
    "table target team ticket time tool tower town track train travel tree unit upper user value "
    "village wagon wall water weight wheel width wind window winter wood work yard year zone"
).split()
SPANISH = (
    "agua alto amigo azul barco bosque bueno calle cama campo carta casa ciudad claro coche "
    "comida cosa cuarto dulce fecha flor fuego gato grande hoja isla lago largo leche libro "
    "lugar luna luz mesa mundo noche nube papel parque pequeño piedra playa puerta queso reloj "
    "río rojo silla sol tarde tiempo tienda tierra tren vaso ventana verano verde viento zapato"
).split()
HANZI = (
    "的一是在不了有我他这中大来上国和地到以说时要就出会可也你对生能而子那得于着下自之年过发"
    "后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心"
    "本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高"
    "间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表"
    "化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔"
    "更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许"
    "统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记"
)
HANGUL = (
    "가각간감강개거건검결경계고공과관교구국군권그극근금급기길김나난남내너년노녹높누는능니다단달"
    "담당대더덕도독동두드등라람랑래량러레력련로록료루류르리린마만말매머먼메면명모목몸무문물미민"
    "바박반발방배백버번벌법변별병보복본부분불비빛사산살상새생서석선설성세소속손송수숙순술스승시"
    "식신실심아안알암야약양어언얼업에여역연열영예오온와완왕외요용우운울원월위유육은을음의이익인"
    "일임입자작잔장재저적전절점정제조족존종좌주준중즉지직진질집차찬참창채책처천철첫청체초촌총최"
    "추축출충치칠카코크타탁태터토통투특파판편평포표품풍프피필하학한할함합항해행향허험현형호화확"
)
KANA = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわん"
    "がぎぐげござじずだでどばびぶべぼアイウエオカキクケコサシスタチツテトナニネノハヒフマミムメモラリルレロン"
)
SYMBOLS = (*"+-*/@#$%^&~=<>|!:;?_", "->", "<=", "::", "**", "++", "×", "÷", "→")


def invent(rng: Random, language: str | None = None) -> str:
    """Invent a word that means nothing, in the script of a language."""
    language = language or rng.choice(LANGUAGES)
    length = rng.randint(1, 3)
    if language == "zh":
        return "".join(_character(rng, HANZI, 0x4E00, 0x9FA5) for _ in range(length))
    if language == "ko":
        return "".join(_character(rng, HANGUL, 0xAC00, 0xD7A3) for _ in range(length))
    if language == "ja":
        pool = KANA if rng.random() < 0.7 else HANZI
        return "".join(_character(rng, pool, 0x4E00, 0x9FA5) for _ in range(length))
    word = "".join(
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(length)
    ) + rng.choice(["", "", "n", "r", "s", "l", "t"])
    if language == "es" and rng.random() < 0.3:
        word += rng.choice("áéíóú")
    return word


def _character(rng: Random, pool: str, low: int, high: int) -> str:
    return rng.choice(pool) if rng.random() < 0.75 else chr(rng.randint(low, high))


def word(rng: Random, language: str = "en") -> str:
    """Pick a word, known or invented."""
    if language == "en" and rng.random() < 0.65:
        return rng.choice(ENGLISH)
    if language == "es" and rng.random() < 0.65:
        return rng.choice(SPANISH)
    return invent(rng, language)


def number(rng: Random) -> str:
    """Write a number: mostly two or three digits, sometimes a decimal, rarely negative."""
    while True:
        kind = rng.random()
        if kind < 0.2:
            value = rng.randint(0, 9)
        elif kind < 0.68:
            value = rng.randint(10, 99)
        elif kind < 0.92:
            value = rng.randint(100, 999)
        else:
            value = rng.randint(1000, 9999)
        if reserved(value):
            continue
        kind = rng.random()
        if kind < 0.04:
            return f"{value}.{rng.randint(0, 9)}"
        return f"-{value}" if kind < 0.05 and value else str(value)


def identifier(rng: Random) -> str:
    """Write the name of a property."""
    a, b = word(rng), word(rng)
    kind = rng.random()
    if kind < 0.4:
        return a
    if kind < 0.55:
        return a + rng.choice("123")
    if kind < 0.75:
        return f"{a}_{b}"
    if kind < 0.87:
        return a + b.capitalize()
    return rng.choice("abcdmnpqrstuvwxyz") + rng.choice(["", "", "1", "2"])


def tool_name(rng: Random) -> str:
    """Write the name of a tool."""
    a, b = word(rng), word(rng)
    kind = rng.random()
    if kind < 0.3:
        return a.capitalize()
    if kind < 0.6:
        return a.capitalize() + b.capitalize()
    return f"{a}_{b}" if kind < 0.85 else a


_NOUNS = "number value operand argument operation operator action kind input figure unit".split()
_PLACES = "first second third left right other one next last".split()
_VERBS = "Perform Compute Apply Do Run Find Get Use Evaluate Return Handle".split()


def description(rng: Random, language: str = "en") -> str:
    """Write a short description of a tool or a property."""
    kind = rng.random()
    if language != "en" and kind < 0.5:
        gap = " " if language in ("es", "ko") else ""
        return gap.join(word(rng, language) for _ in range(rng.randint(1, 5)))
    if kind < 0.3:
        text = f"{rng.choice(['The', 'The', 'A'])} {rng.choice(_PLACES)} {rng.choice(_NOUNS)}"
    elif kind < 0.5:
        thing = rng.choice(["two numbers", "numbers", "two values", "it", "the input", word(rng)])
        text = f"{rng.choice(_VERBS)} a {word(rng)} {rng.choice(_NOUNS)} on {thing}"
    elif kind < 0.65:
        text = f"{rng.choice(['The', 'Which'])} {word(rng)} {rng.choice(_NOUNS)} to {word(rng)}"
    else:
        text = " ".join(word(rng) for _ in range(rng.randint(1, 6))).capitalize()
    if rng.random() < 0.05:
        text += "\n\n    Args:\n        " + word(rng) + ": " + word(rng)
    return text + rng.choice([".", "", ""])
