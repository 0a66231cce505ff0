"""Image captions by a vision-language model behind an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from dnd.backends import views
from dnd.backends.chat import ChatClient, Unanswered, external
from dnd.backends.messages import Answer, Part, Request, image_part, text_part
from dnd.backends.thoughts import one_line
from dnd.config.backends import CaptionSettings
from dnd.io.streams import ahead, chunks

PROMPT = "Describe this image in one sentence."
SEED = 0
ROUNDS = 4
"""Images that are asked about together, in terms of how many the server is given at once."""


class EndpointCaptioner:
    """Asks a server for one caption an image, greedily, several images at once.

    An image that the server refuses gets an empty caption: it is left out of what the language model reads. Where it
    refuses all images of a call a plain grey one is asked about, too: when that fails it is the server's fault.
    """

    def __init__(self, settings: CaptionSettings) -> None:
        if settings.base_url is None:
            raise ValueError("captions.base_url: a server's address is needed")
        self.settings = settings
        server = external(settings.base_url, settings.api_key_env, "captions")
        plain = self._request(Image.new("RGB", (64, 64), "grey"))
        self.client = ChatClient(server, settings.model, settings.model, title="", plain=plain)

    def captions(self, images: Iterable[Image.Image]) -> Iterator[str]:
        """Yield one caption per RGB image of any size, as one line; an empty one is none.

        Raises
        ------
        ServerError
            The server cannot be reached, refuses the key or the model, or fails at an image; after the captions of the
            other images that it was asked about at once.
        """
        parts = chunks(images, ROUNDS * self.settings.concurrency)
        for requests in ahead([self._request(image) for image in part] for part in parts):
            answers: Sequence[Answer]
            failure: Unanswered | None = None
            try:
                answers = self.client.ask_doubted(requests, self.settings.concurrency, None)
            except Unanswered as error:
                answers, failure = error.answers, error
            yield from (one_line(answer.text or "") for answer in answers)
            if failure is not None:
                raise failure

    def _request(self, image: Image.Image) -> Request:
        shown = views.jpeg(image)
        name = f"image sha256:{hashlib.sha256(shown).hexdigest()}"
        content: list[Part] = [text_part(self.settings.prompt or PROMPT), image_part(name)]
        return Request(
            [{"role": "user", "content": content}],
            temperature=0.0,
            seed=SEED,
            max_tokens=self.settings.max_new_tokens,
            pictures=lambda _: views.data_url(shown),
        )
