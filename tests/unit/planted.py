"""Known answers of six units, one of each kind."""

from dnd.config.known_answers import KnownAnswer

ANSWERS = {
    0: KnownAnswer(0, "single", (("red",),), "red objects"),
    1: KnownAnswer(1, "conjunction", (("red", "star"),), "red stars"),
    2: KnownAnswer(2, "abstraction", (("warm",),), "warm colours"),
    3: KnownAnswer(3, "polysemantic", (("red",), ("star",)), "red objects or stars"),
    4: KnownAnswer(4, "dead", (), "dead"),
    5: KnownAnswer(5, "random", (), "random"),
}
