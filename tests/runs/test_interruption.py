"""Signals: the first is kept until it is polled, the second interrupts at once; nested interruptions share them."""

import os
import signal
import threading

import pytest

from vi.errors import Interrupted
from vi.runs.interruption import Interruption


@pytest.fixture(autouse=True)
def _sigint_is_heard():
    """A shell makes processes in the background ignore SIGINT."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_kept_until_it_is_polled(number):
    handler = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.poll()
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as interrupted:
            interruption.poll()
        interruption.heard = None
    assert interrupted.value.args == (number,)
    assert signal.getsignal(number) == handler


def test_the_second_signal_interrupts_at_once():
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as second:
            os.kill(os.getpid(), signal.SIGINT)
        interruption.heard = None
    assert not isinstance(second.value, Interrupted)
    assert second.value.args == (signal.SIGINT,)


def test_a_signal_that_nobody_has_polled_is_sent_again():
    with pytest.raises(KeyboardInterrupt), Interruption():
        os.kill(os.getpid(), signal.SIGINT)
    with Interruption() as outer:
        with Interruption():
            os.kill(os.getpid(), signal.SIGTERM)
        assert outer.heard == signal.SIGTERM
        outer.heard = None


def test_an_ignored_signal_stays_ignored():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        interruption.poll()
    assert signal.signal(signal.SIGINT, handler) == signal.SIG_IGN


def test_an_inner_interruption_takes_over_the_signal_of_the_outer_one():
    with Interruption() as outer:
        os.kill(os.getpid(), signal.SIGTERM)
        with Interruption() as inner, pytest.raises(Interrupted):
            inner.poll()
        outer.heard = None


def test_in_another_thread_it_changes_nothing():
    handler = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interruption() as interruption:
            seen.append(signal.getsignal(signal.SIGINT))
            interruption.poll()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]
