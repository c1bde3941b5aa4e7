"""Wordings of sums: those of the app, and others. `A` and `B` are the numbers, `O` the sign."""

from __future__ import annotations

WORDINGS: dict[str, dict[str, str]] = {
    "en": dict.fromkeys("+-*/", "What's AOB?"),
    "ko": {
        "+": "A에 B^을 더하면?",
        "-": "A에서 B^을 빼면?",
        "*": "A에 B^을 곱하면?",
        "/": "A^을 B^으로 나누면?",
    },
    "zh": {
        "+": "A 加上 B 等于多少？",
        "-": "A 减去 B 等于多少？",
        "*": "A 乘以 B 等于多少？",
        "/": "A 除以 B 等于多少？",
    },
    "ja": {"+": "A足すBは？", "-": "A引くBは？", "*": "A掛けるBは？", "/": "A割るBは？"},
    "es": {
        "+": "¿Cuánto es A más B?",
        "-": "¿Cuánto es A menos B?",
        "*": "¿Cuánto es A por B?",
        "/": "¿Cuánto es A entre B?",
    },
}

UNSEEN: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "+": (
            "Compute A + B",
            "A plus B equals?",
            "What do you get if you add A and B?",
            "My total should be A and B added, right?",
            "Sum A with B for my books",
            "Tally A and B",
        ),
        "-": (
            "How much is A minus B?",
            "Take B away from A, how much remains?",
            "Please compute A - B.",
            "I had A and spent B, what is left?",
            "What's A less B?",
            "The gap between A and B",
        ),
        "*": (
            "What do you get if you multiply A by B?",
            "Compute A * B",
            "A multiplied by B is how much?",
            "What is A times B?",
            "A x B please",
            "We sold A crates of B each, how many in all?",
        ),
        "/": (
            "How much is A divided by B?",
            "Compute A / B",
            "Divide A by B for me, thanks.",
            "If A gets split into B equal shares, how big is each?",
            "What is A over B?",
            "How many does each get when A is shared between B people?",
        ),
    },
    "ko": {
        "+": (
            "A 더하기 B는 얼마예요?",
            "A와 B의 합을 구해 줘",
            "A + B 계산해줘",
            "A하고 B를 모두 더한 금액은?",
            "A에 B를 보태면 얼마가 되죠?",
        ),
        "-": (
            "A 빼기 B는 얼마예요?",
            "A와 B의 차이를 알려 줘",
            "A - B 계산해줘",
            "A에서 B를 제외하면 남는 금액은?",
            "A에서 B를 뺀 결과를 알고 싶어요",
        ),
        "*": (
            "A 곱하기 B는 얼마예요?",
            "A와 B의 곱을 구해 줘",
            "A * B 계산해줘",
            "A에 B를 곱해서 알려 주실래요?",
            "A를 B번 더하면 얼마지?",
        ),
        "/": (
            "A 나누기 B는 얼마예요?",
            "A를 B로 나눈 값을 구해 줘",
            "A / B 계산해줘",
            "A를 B명이 똑같이 나누면 한 사람당 얼마?",
            "A를 B로 나눠 주시겠습니까?",
        ),
    },
    "zh": {
        "+": (
            "A加B是多少？",
            "请计算A与B的和",
            "帮我算一下 A + B",
            "A和B一共多少钱？",
            "把A和B加在一起得多少",
        ),
        "-": (
            "A减B是多少？",
            "请计算A与B的差",
            "帮我算一下 A - B",
            "A元花掉B元还剩多少？",
            "从A里面减去B，结果呢",
        ),
        "*": (
            "A乘B是多少？",
            "请计算A与B的乘积",
            "帮我算一下 A * B",
            "A的B倍是多少钱？",
            "A和B相乘得出什么数",
        ),
        "/": (
            "A除B是多少？",
            "请计算A除以B的商",
            "帮我算一下 A / B",
            "A元平均分给B个人，每人多少？",
            "将A分为B等份，每份多少",
        ),
    },
    "ja": {
        "+": (
            "A足すBはいくつですか？",
            "AとBの和を求めてください",
            "A + B を計算して",
            "AとBを合計するといくらになりますか？",
            "AにBを加えた金額を教えて",
        ),
        "-": (
            "A引くBはいくつですか？",
            "AとBの差を求めてください",
            "A - B を計算して",
            "AからBを差し引くといくら残りますか？",
            "AからBをマイナスするといくら？",
        ),
        "*": (
            "A掛けるBはいくつですか？",
            "AとBの積を求めてください",
            "A * B を計算して",
            "AをB倍した金額はいくらですか？",
            "AかけるBの計算をしてもらえる？",
        ),
        "/": (
            "A割るBはいくつですか？",
            "AをBで割った値を求めてください",
            "A / B を計算して",
            "AをB人で均等に分けると一人いくらですか？",
            "AをBで割り算してください",
        ),
    },
    "es": {
        "+": (
            "Calcula A más B",
            "¿Cuánto da A + B?",
            "Suma A y B, por favor",
            "¿Qué total sale juntando A y B?",
            "¿Cuál es la suma de A y B?",
        ),
        "-": (
            "Calcula A menos B",
            "¿Cuánto da A - B?",
            "Resta B a A, por favor",
            "Tenía A y gasté B, ¿cuánto me queda?",
            "¿Cuál es la diferencia entre A y B?",
        ),
        "*": (
            "Calcula A por B",
            "¿Cuánto da A * B?",
            "Multiplica A por B, por favor",
            "¿Cuánto cuestan A cajas a B cada una?",
            "¿Cuál es el producto de A y B?",
        ),
        "/": (
            "Calcula A entre B",
            "¿Cuánto da A / B?",
            "Divide A entre B, por favor",
            "Si reparto A entre B personas, ¿cuánto toca a cada una?",
            "¿Cuál es el cociente de A y B?",
        ),
    },
}
