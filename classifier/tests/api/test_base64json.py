"""Decoding a picture inside JSON while it arrives, against Python's own json and base64."""

import base64
import io
import json
import random
import tracemalloc
from unittest import mock

from django.test import SimpleTestCase

from classifier.api.base64json import json_image
from classifier.errors import ImageTooLarge
from classifier.http.problems import Problem


def decode(text: bytes, chunk: int = 65536) -> tuple[bytes | None, dict]:
    stream = io.BytesIO(text)
    file, body = json_image(lambda size: stream.read(min(size, chunk)))
    if file is None:
        return None, body
    file.seek(0)
    return file.read(), body


class JsonImageTests(SimpleTestCase):
    def test_it_agrees_with_the_libraries_however_the_text_is_cut(self):
        chance = random.Random(1)
        for size in (0, 1, 2, 3, 100, 1000, 70_000):
            picture = chance.randbytes(size)
            body = {"parameters": {"top_k": 3, "note": 'a "quote", \\ and "inputs": "x"'}, "options": {}}
            text = json.dumps({**body, "inputs": base64.b64encode(picture).decode(), "last": [1]}).encode()
            for chunk in (1, 2, 3, 7, 256, 65536) if size <= 1000 else (1000, 65536):
                with self.subTest(size=size, chunk=chunk):
                    self.assertEqual(decode(text, chunk), (picture, {**body, "last": [1]}))

    def test_the_ways_in_which_others_write_base64(self):
        picture = bytes(range(256)) * 4
        plain = base64.b64encode(picture).decode()
        wrapped = base64.encodebytes(picture).decode()
        for written in (
            json.dumps(plain),
            json.dumps(plain.rstrip("=")),
            json.dumps(wrapped),  # lines that end in \n
            json.dumps(wrapped).replace("\\n", "\n"),  # and really end, which strict JSON forbids
            json.dumps(plain).replace("/", "\\/"),  # PHP
            json.dumps(plain).replace("+", "\\u002B"),  # .NET
            json.dumps(f"data:image/png;base64,{plain}"),
            json.dumps(f"data:image/png;base64,{plain}").replace("/", "\\/"),
            json.dumps(f"DATA:image/svg+xml;charset=utf-8;BASE64,{plain}").replace("+", "\\u002b"),
        ):
            for chunk in (1, 5, 65536):
                with self.subTest(written=written[:60], chunk=chunk):
                    self.assertEqual(decode(b'{ "inputs" :\n ' + written.encode() + b" }", chunk), (picture, {}))

    def test_inputs_somewhere_else_is_not_the_picture(self):
        for text in (
            b'{"parameters": {"inputs": "AAAA"}}',
            b'{"parameters": {"inputs": "AAAA"}, "inputs": "BBBB"}',
            b'{"\\"inputs": "AAAA"}',
            b'{"note": "\\"inputs\\": \\"AAAA\\""}',
            b'{"inputs": ["AAAA"]}',
            b'{"inputs": null}',
        ):
            with self.subTest(text):
                self.assertIsNone(decode(text)[0])

    def test_it_stops_where_the_limit_is_passed(self):
        text = json.dumps({"inputs": "A" * 4_000_000}).encode()
        stream = io.BytesIO(text)
        with self.settings(MAX_UPLOAD_MB=0.1), self.assertRaises(ImageTooLarge):
            json_image(stream.read)
        self.assertLess(stream.tell(), 400_000)

    def test_what_is_not_base64_is_refused_wherever_it_is(self):
        good = base64.b64encode(bytes(300)).decode()
        for text in (good[:200] + "!" + good[200:], good + "=", "=" + good, good[:5] + "=" + good[5:], good + "A"):
            for chunk in (3, 65536):
                with self.subTest(text=text[-20:], chunk=chunk), self.assertRaises(Problem) as caught:
                    decode(json.dumps({"inputs": text}).encode(), chunk)
                self.assertEqual(caught.exception.code, "invalid")

    def test_a_large_picture_is_never_whole_in_memory(self):
        picture = random.Random(1).randbytes(15_000_000)
        text = json.dumps({"inputs": base64.b64encode(picture).decode()}).encode()
        stream = io.BytesIO(text)
        with mock.patch("classifier.api.bodies.max_bytes", return_value=20_000_000):
            tracemalloc.start()
            file, _ = json_image(stream.read)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        self.assertLess(peak, 2_000_000)  # bytes
        file.seek(0)
        self.assertEqual(file.read(), picture)
