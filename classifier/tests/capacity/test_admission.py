"""Who computes, who waits, and who is told to come back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import TestCase

from classifier.capacity.admission import Admission
from classifier.errors import Busy


class AdmissionTests(TestCase):
    def hold(self, admission: Admission, until: threading.Event) -> threading.Thread:
        """Another request that holds a slot."""
        holds = threading.Event()

        def request():
            with admission.slot():
                holds.set()
                until.wait(10)

        thread = threading.Thread(target=request)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(until.set)
        self.assertTrue(holds.wait(10))
        return thread

    def test_so_many_compute_at_a_time(self):
        admission, running, most, lock = Admission(slots=2, queue=20, deadline=10), 0, 0, threading.Lock()

        def work():
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1
            return threading.current_thread().name

        def request(_: int) -> str:
            with admission.slot() as compute:
                return compute(work)

        with ThreadPoolExecutor(12) as pool:
            names = set(pool.map(request, range(12)))
        self.assertEqual(most, 2)
        self.assertEqual(len(names), 2)  # the slots' own threads, whoever asked

    def test_first_come_first_served(self):
        admission, release, order = Admission(slots=1, queue=5, deadline=10), threading.Event(), []
        self.hold(admission, release)

        def request(number: int) -> None:
            with admission.slot():
                order.append(number)

        threads = [threading.Thread(target=request, args=(number,)) for number in range(5)]
        for number, thread in enumerate(threads, start=1):
            thread.start()
            while admission.waiting < number:
                time.sleep(0.001)
        release.set()
        for thread in threads:
            thread.join()
        self.assertEqual(order, [0, 1, 2, 3, 4])

    def test_beyond_the_queue_it_is_busy_at_once(self):
        admission, release = Admission(slots=1, queue=0, deadline=10), threading.Event()
        self.hold(admission, release)
        started = time.monotonic()
        with self.assertRaises(Busy) as caught, admission.slot():
            pass
        self.assertLess(time.monotonic() - started, 1)
        self.assertGreaterEqual(caught.exception.retry_after, 1)

    def test_it_says_beforehand_whether_it_is_full(self):
        admission, release = Admission(slots=1, queue=0, deadline=10), threading.Event()
        self.assertIsNone(admission.full())
        self.hold(admission, release)
        self.assertGreaterEqual(admission.full().retry_after, 1)
        roomy, held = Admission(slots=1, queue=1, deadline=10), threading.Event()
        self.hold(roomy, held)
        self.assertIsNone(roomy.full())

    def test_beyond_the_deadline_it_is_busy(self):
        admission, release = Admission(slots=1, queue=5, deadline=0.05), threading.Event()
        self.hold(admission, release)
        with self.assertRaises(Busy), admission.slot():
            pass
        self.assertEqual(admission.waiting, 0)

    def test_an_error_gives_the_slot_back(self):
        admission = Admission(slots=1, queue=0, deadline=1)
        for _ in range(3):
            with self.assertRaises(ZeroDivisionError), admission.slot() as compute:
                compute(lambda: 1 / 0)
        with admission.slot() as compute:
            self.assertEqual(compute(len, "four"), 4)
