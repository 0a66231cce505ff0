"""Known answers of six units, one of each kind."""

from dnd.shapeworld.known_answers import Answer

ANSWERS = {
    0: Answer(0, "single", (("red",),), "red objects"),
    1: Answer(1, "conjunction", (("red", "star"),), "red stars"),
    2: Answer(2, "abstraction", (("warm",),), "warm colours"),
    3: Answer(3, "polysemantic", (("red",), ("star",)), "red objects or stars"),
    4: Answer(4, "dead", (), "dead"),
    5: Answer(5, "random", (), "random"),
}
