import gc
import sys

from vi import quiet


def test_no_garbage_is_collected_while_tensorflow_loads(monkeypatch):
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    with quiet._without_collections():  # TensorFlow is loaded already
        assert gc.isenabled()
    assert frozen == []
    monkeypatch.delitem(sys.modules, "tensorflow")
    with quiet._without_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert frozen == [False]
