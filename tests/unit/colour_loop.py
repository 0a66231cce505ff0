"""A language model and a painter that can be followed by hand."""

from PIL import Image

from dnd.backends.generator import Drawn
from dnd.backends.messages import Answer
from dnd.config.backends import GeneratorSettings

GENERATOR = GeneratorSettings(model="owner/model", images=5, prompt="{concept}")

PIXELS = {"red": (255, 0, 0), "dark red": (153, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}

CONTROLS = [0.0, 0.2, 0.5, 0.1, 0.2]


class Painter:
    """Paints the named colour; what has no colour is black."""

    def __init__(self, fail_at=None):
        self.prompts, self.fail_at = [], fail_at

    def draw(self, prompts, seeds):
        if self.fail_at in prompts:
            raise KeyboardInterrupt
        self.prompts += prompts
        pictures = [Image.new("RGB", (64, 64), PIXELS.get(prompt, (0, 0, 0))) for prompt in prompts]
        return [Drawn(one, None if one.getbbox() else "black") for one in pictures]


class Script:
    """Gives the units' answers of each round; keeps the questions."""

    def __init__(self, *rounds):
        self.rounds, self.asked = list(rounds), []

    def __call__(self, requests):
        self.asked.append(list(requests))
        answers = self.rounds[len(self.asked) - 1]
        return [one if isinstance(one, Answer) else Answer(one) for one in answers]


class Improver:
    """Tries colours it has not tried; once one is above 100, says so again."""

    def __call__(self, requests):
        return [Answer(self.answer(request.messages[-1]["content"])) for request in requests]

    def answer(self, history):
        tried = dict(one.split(": ") for one in history.splitlines() if ": " in one)
        good = [concept for concept, value in tried.items() if int(value) > 100]
        return good[0] if good else next(colour for colour in ("blue", "green", "red") if colour not in tried)
