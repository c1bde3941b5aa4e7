"""Words that stand for a fixed value, in five languages, and an invented lexicon.

The order of words is that of `LANGUAGES`: English, Korean, Chinese, Japanese, Spanish.
"""

from __future__ import annotations

from random import Random

from .words import LANGUAGES, SYMBOLS, invent

_TABLE = {
    "course": {
        "N": "north 북쪽 北方 北 norte", "S": "south 남쪽 南方 南 sur",
        "E": "east 동쪽 东方 東 este", "W": "west 서쪽 西方 西 oeste",
    },
    "turn": {
        "<": "left 왼쪽 左边 左 izquierda", ">": "right 오른쪽 右边 右 derecha",
        "^": "up 위로 向上 上 arriba", "_": "down 아래로 向下 下 abajo",
    },
    "colour": {
        "red": "red 빨간색 红色 赤 rojo", "blue": "blue 파란색 蓝色 青 azul",
        "green": "green 초록색 绿色 緑 verde", "black": "black 검은색 黑色 黒 negro",
    },
    "money": {
        "$": "dollars 달러 美元 ドル dólares", "€": "euros 유로 欧元 ユーロ euros",
        "₩": "won 원 韩元 ウォン wones", "¥": "yen 엔 日元 円 yenes",
    },
    "day": {
        "mon": "Monday 월요일 星期一 月曜日 lunes",
        "wed": "Wednesday 수요일 星期三 水曜日 miércoles",
        "sat": "Saturday 토요일 星期六 土曜日 sábado", "sun": "Sunday 일요일 星期日 日曜日 domingo",
    },
    "vehicle": {
        "b": "bus 버스 公交车 バス autobús", "t": "train 기차 火车 電車 tren",
        "c": "car 자동차 汽车 車 coche", "s": "ship 배 轮船 船 barco",
    },
    "animal": {
        "cat": "cat 고양이 猫 ねこ gato", "dog": "dog 개 狗 いぬ perro",
        "cow": "cow 소 牛 うし vaca", "fox": "fox 여우 狐狸 きつね zorro",
    },
    "deed": {
        "open": "open 열어 打开 開ける abrir", "close": "close 닫아 关闭 閉める cerrar",
        "send": "send 보내 发送 送る enviar", "hold": "hold 멈춰 停止 止める parar",
    },
    "size": {
        "S": "small 작은 小号 小さい pequeño", "M": "medium 중간 中号 中くらい mediano",
        "L": "large 큰 大号 大きい grande",
    },
    "measure": {
        "m": "metres 미터 米 メートル metros", "kg": "kilos 킬로 公斤 キロ kilos",
        "l": "litres 리터 升 リットル litros", "h": "hours 시간 小时 時間 horas",
    },
    "compare": {
        "=": "equal 같다 一样 等しい igual", "<": "smaller 작다 小于 小さい menor",
        ">": "bigger 크다 大于 大きい mayor", "!": "different 다르다 不同 違う distinto",
    },
}  # fmt: skip

Concept = dict[str, tuple[str, ...]]


def _lexicon(groups: int) -> list[Concept]:
    """Invent words with a fixed meaning: the model can only memorize them."""
    rng = Random(20)
    return [
        {v: tuple(invent(rng, language) for language in LANGUAGES) for v in rng.sample(SYMBOLS, 5)}
        for _ in range(groups)
    ]


CONCEPTS: list[Concept] = [
    {value: tuple(words.split(" ")) for value, words in rows.items()} for rows in _TABLE.values()
]
CONCEPTS += _lexicon(6)


def concept(rng: Random, language: str) -> tuple[dict[str, str], list[str]]:
    """Draw a table: the word for each value in a language, and the values shuffled."""
    table = rng.choice(CONCEPTS)
    values = rng.sample(sorted(table), rng.randint(2, len(table)))
    return {v: table[v][LANGUAGES.index(language)] for v in values}, values
