"""Little stories and commands: wordings for the last part of the curriculum.

The main part rarely begins a sentence with a verb in capitals ("Divide A by B"), and tells no
stories. The polish does both. The stories are others than those that the evaluation asks.
"""

from __future__ import annotations

from .frames_western import Phrases

COMMANDS = {
    "en": ("{x}", "{x}.", "{x}, please.", "{x} for me.", "{x} now.", "{x} and tell me.", "{x}!"),
    "es": ("{x}", "{x}.", "{x}, por favor.", "{x} ahora.", "{x} y dime.", "{x} para mí.", "{x}!"),
}
STORIES: dict[str, Phrases] = {
    "en": {
        "add": (
            "Ann has A coins and finds B more. How many now?",
            "A birds, then B come. How many?",
        ),
        "sub": ("Tom had A pens and lost B. How many now?", "A birds, B fly away. What remains?"),
        "mul": (
            "There are A rows with B chairs each. How many?",
            "A bags hold B nuts each. Total?",
        ),
        "div": (
            "A sweets for B children, how many each?",
            "A metres cut in B pieces. How long is one?",
        ),
    },
    "es": {
        "add": (
            "Ana tiene A monedas y halla B más. ¿Cuántas hay?",
            "Son A aves y llegan B. ¿Total?",
        ),
        "sub": ("Luis tenía A libros y perdió B. ¿Cuántos quedan?", "De A aves se van B. ¿Quedan?"),
        "mul": ("Hay A filas con B sillas cada una. ¿Cuántas?", "A bolsas de B nueces. ¿Total?"),
        "div": (
            "A dulces para B niños, ¿cuántos a cada uno?",
            "A metros en B trozos. ¿Cuánto mide uno?",
        ),
    },
    "ko": {
        "add": (
            "사과 A개가 있는데 B개를 더 받으면 모두 몇 개야?",
            "A명이 있고 B명이 왔어요. 모두 몇 명?",
        ),
        "sub": ("사과 A개 중 B개를 먹으면 몇 개 남아?", "A명 중 B명이 갔어요. 몇 명 남았나요?"),
        "mul": ("의자가 B개씩 A줄 있으면 모두 몇 개야?", "A봉지에 B개씩 들어 있어요. 모두 몇 개?"),
        "div": ("사탕 A개를 아이 B명이 나누면 몇 개씩?", "A미터를 B조각으로 자르면 하나는 얼마?"),
    },
    "zh": {
        "add": ("有A个苹果，又买了B个，现在有几个？", "来了A人，后来又来B人，共几人？"),
        "sub": ("有A个苹果，吃了B个，还有几个？", "A只鸟飞走B只，剩几只？"),
        "mul": ("有A排椅子，每排B把，共几把？", "A袋糖，每袋B颗，共多少颗？"),
        "div": ("A颗糖分给B个孩子，每人几颗？", "A米绳子剪成B段，每段多长？"),
    },
    "ja": {
        "add": ("りんごがA個あり、B個もらうと全部で何個？", "A人いてB人来ました。全部で何人？"),
        "sub": ("りんごA個のうちB個食べると残りは何個？", "A人のうちB人帰りました。残りは？"),
        "mul": ("椅子がB脚ずつA列あります。全部で何脚？", "A袋にB個ずつ入っています。全部で？"),
        "div": ("飴A個を子どもB人で分けると一人何個？", "AメートルをB本に切ると一本は？"),
    },
}
