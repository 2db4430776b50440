"""The names of pykka this kernel stands on. When one of these fails, pykka has changed under us: read engine/kernel first."""

import inspect
from importlib.metadata import version

import pykka
import pykka._actor
import pykka._envelope
import pykka.messages
import pytest

from engine.kernel import Actor, ActorDown, CallTimeout, Ref


def test_the_installed_pykka_is_of_the_line_this_was_written_for() -> None:
    major, minor, *_ = (int(part) for part in version("pykka").split("."))
    assert (4, 5) <= (major, minor) < (5, 0)


def test_an_actor_is_given_a_runtime_by_three_hooks() -> None:
    hooks = {"_create_actor_inbox", "_create_future", "_start_actor_loop"}
    assert pykka.Actor.__abstractmethods__ == hooks
    for hook in hooks:
        assert getattr(Actor, hook) is not getattr(pykka.Actor, hook)


def test_init_takes_the_inbox_from_the_hook_and_makes_a_ref() -> None:
    source = inspect.getsource(pykka.Actor.__init__)
    for line in ("self._create_actor_inbox()", "self.actor_stopped = threading.Event()", "self._actor_ref = "):
        assert line in source


def test_the_ref_is_read_through_its_private_attribute() -> None:
    assert "self._actor_ref" in inspect.getsource(pykka.Actor.actor_ref.fget)  # type: ignore[attr-defined]


def test_a_ref_puts_envelopes_into_the_inbox() -> None:
    assert "self.actor_inbox.put(Envelope(message))" in inspect.getsource(pykka.ActorRef.tell)
    assert "self.ask(_ActorStop(), block=False)" in inspect.getsource(pykka.ActorRef.stop)
    assert set(pykka.ActorRef.__annotations__) == {"actor_class", "actor_urn", "actor_inbox", "actor_stopped"}


def test_an_envelope_has_a_message_and_a_future() -> None:
    envelope = pykka._envelope.Envelope("m", reply_to=None)
    assert (envelope.message, envelope.reply_to) == ("m", None)


def test_the_stop_message_is_the_one_we_look_for() -> None:
    assert pykka.messages._ActorStop() == ()


def test_a_threading_actor_answers_whatever_future_its_envelope_carries() -> None:
    source = inspect.getsource(pykka.Actor._actor_loop_running)
    assert "envelope.reply_to.set(response)" in source
    assert "envelope.reply_to.set_exception()" in source


def test_a_thread_catches_our_errors_as_pykkas() -> None:
    assert issubclass(ActorDown, pykka.ActorDeadError)
    assert issubclass(CallTimeout, pykka.Timeout)
    assert issubclass(Ref, pykka.ActorRef)


def test_an_actor_is_not_started_by_hand() -> None:
    with pytest.raises(Exception, match="start_child"):
        Actor.start()
    with pytest.raises(Exception, match="made by its slot"):
        Actor()
