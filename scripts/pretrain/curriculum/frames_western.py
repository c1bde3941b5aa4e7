"""How people ask for a sum in English and Spanish.

`EXPRESSIONS` name a result ("the sum of A and B"), `ACTIONS` are something to do
("add A and B"). Frames put either into a sentence at `{x}`. `A` and `B` are the first and
the second operand, whatever their order in the sentence.
"""

from __future__ import annotations

Phrases = dict[str, tuple[str, ...]]

EN_EXPRESSIONS: Phrases = {
    "add": (
        "A plus B", "A plus B", "A added to B", "A and B together", "A and B added up",
        "the sum of A and B", "the total of A and B", "adding A and B", "adding A to B",
        "A increased by B", "A with B added", "A more B", "the addition of A and B", "A & B summed",
        "A combined with B", "A and B in total",
    ),
    "sub": (
        "A minus B", "A minus B", "A less B", "A take away B", "A subtract B", "A without B",
        "the difference between A and B", "the difference of A and B", "subtracting B from A",
        "taking B away from A", "A reduced by B", "A decreased by B", "B less than A",
        "B subtracted from A", "B taken from A", "what remains of A after B",
    ),
    "mul": (
        "A times B", "A times B", "A multiplied by B", "A multiplied with B", "A by B",
        "the product of A and B", "multiplying A by B", "multiplying A and B", "A lots of B",
        "A groups of B", "the multiplication of A and B", "A x B", "A B times",
    ),
    "div": (
        "A divided by B", "A divided by B", "A over B", "A split by B", "A divided into B",
        "the quotient of A and B", "the ratio of A to B", "dividing A by B", "splitting A by B",
        "A shared by B", "the division of A by B", "A split into B parts", "one Bth of A",
        "A per B", "A in B equal parts",
    ),
    "mod": ("A mod B", "the remainder of A over B", "A modulo B", "what A leaves modulo B"),
    "pow": ("A to the power of B", "A raised to B", "the power B of A"),
    "avg": ("the average of A and B", "the mean of A and B", "A and B averaged"),
    "max": ("the larger of A and B", "the maximum of A and B", "the biggest of A, B"),
    "min": ("the smaller of A and B", "the minimum of A and B", "the smallest of A, B"),
}  # fmt: skip
EN_ACTIONS: Phrases = {
    "add": (
        "add A and B", "add A to B", "add A with B", "sum A and B", "sum up A and B",
        "add up A and B",
        "put A and B together", "combine A and B", "increase A by B", "total A and B",
        "plus A with B",
        "have A and get B more", "join A and B", "count A and B together",
    ),
    "sub": (
        "subtract B from A", "subtract B from A", "take B away from A", "take B from A",
        "deduct B from A",
        "pay B out of A", "have A and use B", "strip B off A",
        "take away B from A", "reduce A by B", "decrease A by B", "remove B from A",
        "minus B from A",
        "lower A by B", "have A and give away B", "have A and lose B", "have A and spend B",
    ),
    "mul": (
        "multiply A by B", "multiply A and B", "multiply A with B", "times A by B",
        "take A times B", "multiply together A and B", "scale A by B", "repeat A B times",
        "buy A at B each", "take A boxes of B",
    ),
    "div": (
        "divide A by B", "divide A by B", "split A by B", "split A into B parts", "share A among B",
        "divide A into B parts", "share A between B", "split A among B people", "cut A into B",
        "distribute A over B",
    ),
    "mod": ("take A modulo B", "reduce A mod B"),
    "pow": ("raise A to B", "raise A to the power of B"),
    "avg": ("average A and B", "take the mean of A and B"),
    "max": ("take the larger of A and B", "keep the biggest of A and B"),
    "min": ("take the smaller of A and B", "keep the smallest of A and B"),
}  # fmt: skip
EN_ASK = (
    "How much is {x}?", "How much is {x}?", "What is {x}?", "What is {x}?", "What does {x} equal?",
    "{x} equals?", "{x} equals what?", "{x} is?", "{x} =", "{x} = ?", "{x}", "{x}?", "Compute {x}",
    "Compute {x}.", "Calculate {x}", "Calculate {x}.", "Calculate {x}, please.", "Work out {x}",
    "Work out {x}.", "Find {x}.", "Find {x}", "Give me {x}", "Give me {x}.", "Tell me {x}",
    "Evaluate {x}", "Evaluate {x}.", "Solve {x}", "Solve {x}.", "I need {x}.", "I need {x}",
    "Please compute {x}.", "Please calculate {x}", "Can you tell me {x}?", "Can you compute {x}?",
    "Could you calculate {x}?", "Could you work out {x}?", "What would {x} be?", "And {x}?",
    "Do you know what {x} is?", "Tell me what {x} is.", "{x} makes?", "{x} gives what?", "Hi, {x}?",
    "I'd like to know {x}.", "What do you get for {x}?", "What's the result of {x}?", "So {x} is?",
    "What is the value of {x}?", "What is the answer to {x}?", "Now {x}", "The result of {x}?",
    "Let me know {x}", "Show me {x}", "Determine {x}.", "Quick: {x}", "How about {x}?",
    "What comes out of {x}?", "What number is {x}?", "{x}, please", "Help me with {x}.",
)  # fmt: skip
EN_DO = (
    "{x}", "{x}.", "Please {x}.", "Please {x}", "{x} please", "Can you {x}?", "Could you {x}?",
    "Could you please {x}?", "What do you get if you {x}?", "What do you get when you {x}?",
    "What do I get if I {x}?", "What happens if I {x}?", "What is left if you {x}?",
    "How much is it if you {x}?", "How much do you get if you {x}?", "What is it if we {x}?",
    "I want to {x}.", "I need to {x}.", "I'd like you to {x}.", "Let's {x}", "{x} for me",
    "{x} for me, please.", "Help me {x}.", "If I {x}, what do I get?", "If you {x}, what is it?",
    "Go ahead and {x}.", "Now {x}.", "{x} and tell me the result.", "How do I {x}?", "We {x}.",
    "What will it be when we {x}?", "Would you {x}?", "What's the result if you {x}?", "First {x}.",
)  # fmt: skip

ES_EXPRESSIONS: Phrases = {
    "add": (
        "A más B", "A más B", "A y B juntos", "la suma de A y B", "la suma de A más B",
        "sumar A y B",
        "sumarle B a A", "A sumado a B", "el total de A y B", "A con B sumados",
        "la adición de A y B",
        "sumar A con B", "A mas B", "la suma entre A y B", "si sumo A y B", "si sumamos A más B",
        "A junto con B", "añadir B a A", "agregar B a A",
    ),
    "sub": (
        "A menos B", "A menos B", "la resta de A y B", "la resta de A menos B", "restar B a A",
        "restar B de A", "la diferencia entre A y B", "la diferencia de A y B", "quitar B a A",
        "quitarle B a A", "restarle B a A", "A quitando B", "si a A le quito B",
        "si a A le resto B",
        "si le quito B a A", "A sin B", "si resto B de A", "si restamos B a A",
        "A descontando B", "lo que queda de A sin B", "si pago B de A",
    ),
    "mul": (
        "A por B", "A por B", "A multiplicado por B", "A veces B", "el producto de A y B",
        "el producto de A por B", "la multiplicación de A por B", "multiplicar A por B",
        "multiplicar A y B", "el producto entre A y B", "si multiplico A por B",
        "A multiplicado con B",
        "A grupos de B", "comprar A a B",
    ),
    "div": (
        "A entre B", "A dividido entre B", "A dividido por B", "A dividido B", "A sobre B",
        "el cociente de A y B", "el cociente entre A y B", "la división de A entre B",
        "dividir A entre B",
        "la división de A por B", "dividir A por B", "repartir A entre B", "si divido A entre B",
        "si reparto A entre B", "A partido por B", "A dividido en B partes", "A repartido entre B",
        "A en B partes iguales",
    ),
    "mod": ("A módulo B", "el resto de A entre B", "el residuo de A y B"),
    "pow": ("A elevado a B", "A a la potencia B", "la potencia B de A"),
    "avg": ("el promedio de A y B", "la media de A y B", "la media entre A y B"),
    "max": ("el mayor de A y B", "el máximo de A y B", "el más grande de A y B"),
    "min": ("el menor de A y B", "el mínimo de A y B", "el más pequeño de A y B"),
}  # fmt: skip
ES_ACTIONS: Phrases = {
    "add": (
        "suma A y B", "suma A más B", "suma A con B", "súmale B a A", "agrega B a A", "añade B a A",
        "sume A y B", "junta A y B", "sumar A y B", "sumemos A y B", "sumas A y B", "sumo A y B",
    ),
    "sub": (
        "resta B de A", "resta B a A", "réstale B a A", "quita B a A", "quítale B a A",
        "reste B de A",
        "quita B de A", "restar B a A", "restar B de A", "descuenta B de A", "restas B a A",
        "resto B a A",
        "resta A menos B",
    ),
    "mul": (
        "multiplica A por B", "multiplica A y B", "multiplique A por B", "multiplica A con B",
        "multiplicar A por B", "multiplicas A por B", "multiplico A por B", "haz A por B",
    ),
    "div": (
        "divide A entre B", "divide A por B", "divida A entre B", "reparte A entre B",
        "dividir A entre B",
        "dividir A por B", "parte A en B partes", "divides A entre B", "divido A entre B",
        "haz A entre B",
    ),
    "mod": ("saca el resto de A entre B", "toma A módulo B"),
    "pow": ("eleva A a B", "eleva A a la potencia B"),
    "avg": ("promedia A y B", "saca la media de A y B"),
    "max": ("toma el mayor de A y B", "elige el máximo de A y B"),
    "min": ("toma el menor de A y B", "elige el mínimo de A y B"),
}  # fmt: skip
ES_ASK = (
    "¿Cuánto es {x}?", "¿Cuánto da {x}?", "¿Cuánto da {x}?", "¿Cuánto son {x}?", "¿Cuál es {x}?",
    "¿Cuál es el resultado de {x}?", "¿Qué da {x}?", "¿Cuánto hace {x}?", "¿Cuánto queda {x}?",
    "¿Cuánto sale {x}?", "¿a cuánto equivale {x}?", "¿Cuánto vale {x}?", "¿Y {x}?", "¿{x}?",
    "Calcula {x}", "Calcula {x}.", "Calcule {x}.", "Calcúlame {x}", "Dime cuánto es {x}",
    "Dime cuánto es {x}.", "Dime {x}", "Dime el resultado de {x}.", "Halla {x}", "Encuentra {x}.",
    "{x} es igual a", "¿{x} es igual a cuánto?", "{x} = ?", "{x} =", "{x}", "{x}, por favor",
    "Por favor, calcula {x}.", "Por favor calcula {x}", "¿Puedes calcular {x}?", "Necesito {x}.",
    "¿Podrías calcular {x}?", "Necesito saber {x}.", "Quiero saber cuánto es {x}.", "Resuelve {x}.",
    "Resuelve {x}", "El resultado de {x}", "¿Me dices cuánto es {x}?", "¿Sabes cuánto es {x}?",
    "Ayúdame con {x}.", "Haz {x}", "Ahora {x}", "¿Qué resultado da {x}?", "Cuánto es {x}",
    "¿Cuánto sería {x}?", "¿Cuánto resulta {x}?", "¿Cuánto obtengo {x}?", "¿Qué obtengo {x}?",
)  # fmt: skip
ES_DO = (
    "{x}", "{x}.", "Por favor {x}", "Por favor, {x}.", "{x}, por favor", "¿Cuánto da si {x}?",
    "¿Cuánto queda si {x}?", "¿Qué obtienes si {x}?", "¿Cuánto es si {x}?", "Si {x}, ¿cuánto da?",
    "¿Puedes {x}?", "Quiero {x}.", "Necesito {x}.", "Ahora {x}.", "{x} y dime el resultado",
    "Ayúdame a {x}.", "Hay que {x}.", "¿Qué resulta al {x}?", "¿Cuánto se obtiene al {x}?",
    "Al {x}, ¿cuánto queda?", "¿Qué pasa si {x}?", "¿Podrías {x}?", "Vamos a {x}.", "¿Me {x}?",
)  # fmt: skip

STARTS: dict[str, tuple[str, ...]] = {
    "en": ("Hi, ", "Hello! ", "Please, ", "Quick question: ", "For my report, ", "Next: ", "OK, "),
    "es": ("Hola, ", "Oye, ", "Por favor, ", "Una pregunta: ", "Bueno, ", "Para mi informe, "),
    "ko": ("안녕하세요, ", "질문이 있어요. ", "다음: ", "저기요, ", "보고서용으로 "),
    "zh": ("你好，", "请问，", "麻烦你，", "下一个：", "老师，", "好的，"),
    "ja": ("こんにちは、", "質問です。", "次：", "あの、", "報告書のために、"),
}
ENDS: dict[str, tuple[str, ...]] = {
    "en": (" Thanks!", " please", " today", ", thank you.", " for the books"),
    "es": (" Gracias.", " hoy", ", gracias", " para la cuenta"),
    "ko": (" 고마워요.", " 부탁해요", " 빨리요", " 감사합니다."),
    "zh": (" 谢谢。", "，拜托了", "，快点", "，多谢！"),
    "ja": (" ありがとう。", " お願いします。", " 早く", " よろしく"),
}
UNITS: dict[str, tuple[str, ...]] = {
    "en": (" dollars", " euros", " apples", " items", "$", " units"),
    "es": (" euros", " pesos", " dólares", " cosas", "€"),
    "ko": ("원", "개", " 달러", "명", "권"),
    "zh": ("元", "个", "块", "人", "本"),
    "ja": ("円", "個", "ドル", "人", "本"),
}
