import threading
import time

from django.test import SimpleTestCase

from classifier.capacity.room import Room
from classifier.errors import Busy


def started(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


class RoomTests(SimpleTestCase):
    def test_what_fits_together_goes_together(self):
        room = Room(100, timeout=0)
        with room.take(60), room.take(40):
            pass

    def test_too_much_waits_and_is_told_to_come_back(self):
        room = Room(100, timeout=0.05)
        with room.take(60):
            with self.assertRaisesMessage(Busy, "Try again in a few seconds."), room.take(50):
                self.fail("there was no room")
            with room.take(40):
                pass

    def test_more_than_there_is_takes_all(self):
        room = Room(100, timeout=0)
        with room.take(1000), self.assertRaises(Busy), room.take(1):
            self.fail("there was no room")

    def test_what_is_given_back_can_be_taken(self):
        room = Room(100, timeout=0)
        with room.take(100) as keep:
            keep(30)
            with room.take(70):
                pass
            keep(90)  # what was given back stays given back
            with room.take(70):
                pass
        with room.take(100):
            pass

    def test_it_all_comes_back_after_an_error(self):
        room = Room(100, timeout=0)
        with self.assertRaises(ZeroDivisionError), room.take(100):
            raise ZeroDivisionError
        with room.take(100):
            pass

    def test_first_come_first_served(self):
        room, order = Room(100, timeout=5), []

        def enter(name, amount):
            with room.take(amount):
                order.append(name)

        with room.take(50):
            large = started(lambda: enter("large", 100))
            while not room._queue:
                time.sleep(0.001)
            small = started(lambda: enter("small", 10))
            while len(room._queue) < 2:
                time.sleep(0.001)
            self.assertEqual(order, [])  # the small one would fit, and does not overtake
        large.join()
        small.join()
        self.assertEqual(order, ["large", "small"])
