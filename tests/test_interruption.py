"""Signals as a question: kept until it is asked, at once the second time, and handed over to what is entered within."""

import os
import signal
import threading

import pytest

from vi.errors import Interrupted
from vi.interruption import Interruption


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_kept_until_it_is_asked_for_and_gives_the_exit_code_of_shells(number, code):
    handler = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as interrupted:
            interruption.check()
    assert interrupted.value.exit_code == code
    assert signal.getsignal(number) == handler


def test_the_second_signal_interrupts_at_once():
    with Interruption():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as second:
            os.kill(os.getpid(), signal.SIGINT)
    assert not isinstance(second.value, Interrupted)


def test_one_within_another_takes_over_what_that_has_heard():
    with Interruption():
        os.kill(os.getpid(), signal.SIGTERM)
        with Interruption() as inner, pytest.raises(Interrupted):
            inner.check()


def test_in_another_thread_it_changes_nothing():
    handler = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interruption() as interruption:
            seen.append(signal.getsignal(signal.SIGINT))
            interruption.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]
