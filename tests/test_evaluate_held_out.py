"""Was the model trained on these pictures?"""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from cli_world import make_card
from faceparts import folder, weights
from faceparts.errors import BadData
from faceparts.evaluate import held_out
from faceparts.evaluate.held_out import Check, Lists, check_by_hash, check_by_name

CARD = make_card(
    trained_on=("CelebAMask-HQ: 750 pictures, human labels", "3,250 face crops (Helen, LFW)")
)


@pytest.mark.parametrize(
    ("dataset", "split", "status"),
    [
        ("celebamask", "train", "trained on"),
        ("celebamask", "val", "not proven"),
        ("facecrops", "all", "trained on"),
        ("helen", "test", "not proven"),
        ("lfw_parts", "train", "trained on"),
        ("fasseg", "v2-train", "held out"),
        ("cofw_masks", "all", "held out"),
        ("lfw_crops", "train", "trained on"),
        ("helen_original", "train", "trained on"),
        ("pairs", "all", "not proven"),
        ("figaro", "all", "held out"),
    ],
)
def test_by_name(dataset, split, status):
    assert check_by_name(CARD, dataset, split).status == status


def test_a_card_without_words_proves_nothing():
    check = check_by_name(replace(CARD, trained_on=()), "fasseg", "v2-test")
    assert check.status == "not proven" and "does not say" in check.reason


def test_a_card_that_names_no_known_dataset_proves_nothing():
    """A recipe on one's own folders says such as "12 photos", which may be of any dataset."""
    check = check_by_name(replace(CARD, trained_on=("12 photos", "pairs")), "celebamask", "val")
    assert check.status == "not proven" and "names no dataset that is known" in check.reason
    assert "12 photos" in check.reason
    card = replace(CARD, trained_on=("12 photos", "EasyPortrait"))
    assert check_by_name(card, "celebamask", "val").status == "held out"


def test_names_are_whole_words():
    card = replace(CARD, trained_on=("COFW", "helena", "celebamaskhq-like"))
    assert held_out.named_on_card(card, "lfw_parts") is None
    assert held_out.named_on_card(card, "helen") is None
    assert held_out.named_on_card(card, "celebamask") == "celebamaskhq-like"


@pytest.mark.parametrize("split", ["val", "v2-test", "test", "validation", "test_a", "held out"])
def test_splits_for_measuring(split):
    assert held_out.is_held_out_name(split)


@pytest.mark.parametrize(
    "split", ["train", "all", "v0.1", "latest", "valley", "contest", "portraits"]
)
def test_splits_that_say_nothing(split):
    assert not held_out.is_held_out_name(split)


def test_the_shipped_parser_is_not_measured_on_its_own_pictures():
    card = weights.read_card(weights.find("partnet"))
    assert check_by_name(card, "celebamask", "train").status == "trained on"
    assert check_by_name(card, "celebamask", "val").status == "not proven"
    assert check_by_name(card, "facesynthetics", "all").status == "trained on"
    assert check_by_name(card, "fasseg", "v2-test").status == "held out"


def test_every_alias_belongs_to_an_adapter_and_every_adapter_can_be_asked():
    names = set(folder.names("faceparts.datasets"))
    assert {"celebamask", "scut_head", "figaro"} <= names
    for name in names:
        assert check_by_name(CARD, name, "test").status in ("held out", "not proven")


def test_by_picture():
    a, b, c = (sha256(t).hexdigest() for t in (b"a", b"b", b"c"))
    pictures = [("one", a, b), ("two", c, c)]
    said = Check("not proven", "who knows")
    assert check_by_hash(pictures, Lists(), said) is said
    other = frozenset([sha256(b"other").digest()])
    assert check_by_hash(pictures, Lists(other), said).status == "held out"
    for known in (b"a", b"b"):  # the file's or the pixels'
        check = check_by_hash(pictures, Lists(frozenset([sha256(known).digest()])), said)
        assert check.status == "trained on" and "1 of these pictures" in check.reason
        assert "such as one" in check.reason


def test_pictures_that_chose_the_checkpoint_are_told():
    a, b = (sha256(t) for t in (b"a", b"b"))
    pictures = [("one", a.hexdigest(), a.hexdigest()), ("two", b.hexdigest(), b.hexdigest())]
    lists = Lists(frozenset([sha256(b"other").digest()]), frozenset([b.digest()]))
    check = check_by_hash(pictures, lists, Check("not proven", "who knows"))
    assert check.status == "held out"
    assert check.reason.endswith("; 1 of them chose the checkpoint")


def test_what_the_model_was_before_needs_its_own_list(tmp_path):
    a, b, c = (sha256(t).hexdigest() for t in (b"a", b"b", b"c"))
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps({"name": "net", "pictures": [a], "started_from": []}))
    second.write_text(json.dumps({"name": "net", "pictures": [b], "started_from": ["net"]}))
    said = Check("not proven", "who knows")
    check = check_by_hash([("x", c, c)], held_out.read_lists([second]), said)
    assert check.status == "not proven"
    assert "the training started from net, whose own list is not among those given" in check.reason
    both = held_out.read_lists([second, first])
    assert both.began == ()
    assert check_by_hash([("x", c, c)], both, said).status == "held out"
    assert check_by_hash([("x", a, a)], both, said).status == "trained on"


def test_lists_of_every_form(tmp_path):
    a, b, c, d = (sha256(t).hexdigest() for t in (b"a", b"b", b"c", b"d"))
    plain, array, report = (tmp_path / n for n in ("SUMS", "a.json", "report.json"))
    plain.write_text(f"# training\n{a}  photo one.jpg\n\\{b.upper()} *odd\\nname.jpg\n\n")
    array.write_text(f'["{c}"]')
    report.write_text(f'{{"pictures": [{{"key": "x", "sha256": "{d}"}}, "{a}"]}}')
    found = held_out.read_lists([plain, array, report])
    assert found == Lists(frozenset(map(bytes.fromhex, (a, b, c, d))))
    assert held_out.read_lists([]) == Lists()


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.txt", "", "there is none in it"),
        ("a.txt", "no hashes here", "got 'no'"),
        ("a.txt", "f" * 63, "got 'fff"),
        ("a.json", "{", "there is none in it"),
        ("a.json", '{"data": [{"root": "celebamask", "sha256": "' + "f" * 64 + '"}]}', "is none"),
        ("a.json", '["x"]', "got 'x'"),
        ("a.json", "[[1]]", r"got '\[1\]'"),
        ("a.json", '{"pictures": [{"key": 1}]}', "got 'None'"),
        ("a.json", f'{{"pictures": ["{"f" * 64}"], "chose": ["x"]}}', "got 'x'"),
        ("a.json", '{"chose": ["' + "f" * 64 + '"]}', "there is none in it"),
    ],
)
def test_lists_that_are_none(tmp_path, name, text, what):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(BadData, match=rf"not a list of the training pictures' sha256 \(.*{what}"):
        held_out.read_lists([file])


def test_lists_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(BadData, match="cannot be read"):
        held_out.read_lists([tmp_path / "none.txt"])
    (tmp_path / "a.txt").write_text("long")
    monkeypatch.setattr(held_out, "MAX_LIST_BYTES", 3)
    with pytest.raises(BadData, match="larger than 3 bytes"):
        held_out.read_lists([tmp_path / "a.txt"])


def write_list(path, name, began=(), pictures=("0" * 64,)):
    told = {"name": name, "started_from": list(began), "pictures": list(pictures)}
    path.write_text(json.dumps(told))
    return path


def test_a_list_does_not_vouch_for_itself(tmp_path):
    one = write_list(tmp_path / "a.json", "mine", ["mine"])
    assert held_out.read_lists([one]).began == ("mine",)
    assert held_out.read_lists([one, one]).began == ("mine",)
    copy = tmp_path / "b.json"
    copy.write_bytes(one.read_bytes())
    assert held_out.read_lists([one, copy]).began == ("mine",)


def test_lists_of_one_name_need_the_first_of_them(tmp_path):
    third = write_list(tmp_path / "3.json", "mine", ["mine"], ["3" * 64])
    second = write_list(tmp_path / "2.json", "mine", ["mine"], ["2" * 64])
    assert held_out.read_lists([third, second]).began == ("mine",)
    first = write_list(tmp_path / "1.json", "mine", [], ["1" * 64])
    found = held_out.read_lists([third, second, first])
    assert found.began == () and len(found.trained) == 3 and found.names == ("mine",)


def test_lists_of_other_models_and_what_was_mixed_in(tmp_path):
    said = Check("not proven", "")
    picture = [("x", "f" * 64, "e" * 64)]
    other = held_out.read_lists([write_list(tmp_path / "a.json", "other")])
    check = check_by_hash(picture, other, said, CARD)
    assert check.status == "not proven" and f"are of other, not of {CARD.name}" in check.reason
    own = held_out.read_lists([write_list(tmp_path / "b.json", CARD.name)])
    assert check_by_hash(picture, own, said, CARD).status == "held out"
    mixed = replace(CARD, mixed_with=("other",))
    check = check_by_hash(picture, own, said, mixed)
    assert check.status == "not proven" and "started from other" in check.reason
    both = held_out.read_lists([tmp_path / "a.json", tmp_path / "b.json"])
    assert check_by_hash(picture, both, said, mixed).status == "held out"


def test_lines_without_a_word(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text(f"\\\n# words\n\n{'a' * 64}  x.png\n")
    assert len(held_out.read_lists([file]).trained) == 1
