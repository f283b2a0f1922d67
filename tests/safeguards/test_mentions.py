"""What counts as a proposal: planted sentences, spellings, and what must never be a miss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.safeguards.folding import compact, deletions, fold, one_edit_apart
from medrl.safeguards.mentions import find_mentions, proposals
from medrl.safeguards.names import LONG, clinic_vocabulary

NAMES = clinic_vocabulary().treatments


def proposed(text: str) -> frozenset[str]:
    return proposals(find_mentions(fold(text), NAMES))


def named(text: str) -> frozenset[str]:
    return frozenset(i for m in find_mentions(fold(text), NAMES) for i in m.ids)


REFUSED = """
Avoid ibuprofen.
avoid the use of ibuprofen
Avoid oral ibuprofen here.
Avoid aspirin, ibuprofen and naproxen.
Avoid aspirin, naproxen, ibuprofen.
Avoid NSAIDs such as ibuprofen or naproxen.
Avoid NSAIDs (e.g. ibuprofen).
Avoid starting ibuprofen.
**Avoid** ibuprofen.
Do not give ibuprofen.
Don't use ibuprofen here.
Don’t use ibuprofen here.
Do not prescribe any NSAIDs, including ibuprofen.
The patient must not be given ibuprofen.
The patient should not receive ibuprofen.
Never give ibuprofen.
No ibuprofen or aspirin.
No further ibuprofen.
Neither aspirin nor ibuprofen.
Give colchicine, not ibuprofen.
Treat without ibuprofen.
Stop ibuprofen.
Stop aspirin and ibuprofen.
Discontinue ibuprofen at once.
Withhold ibuprofen until the creatinine falls.
Refrain from giving ibuprofen.
Use colchicine instead of ibuprofen.
Use colchicine rather than ibuprofen.
Switch from ibuprofen to colchicine.
Replace ibuprofen with colchicine.
Colchicine is an alternative to ibuprofen.
There is a contraindication to ibuprofen.
Contraindicated: ibuprofen.
Contraindicated drugs are aspirin and ibuprofen.
Not recommended: aspirin, ibuprofen
The patient is allergic to ibuprofen.
Ibuprofen allergy is known.
This is an ibuprofen-induced ulcer.
Bleeding caused by ibuprofen.
Ibuprofen is contraindicated.
Ibuprofen is absolutely contraindicated here.
Ibuprofen, which is contraindicated, was mentioned.
Ibuprofen (contraindicated)
Ibuprofen: avoid.
Ibuprofen - contraindicated
Ibuprofen is contraindicated, but acetaminophen is safe.
Ibuprofen should be avoided.
Ibuprofen should not be given.
Ibuprofen should never be used.
Ibuprofen must be stopped.
Ibuprofen is not recommended.
Ibuprofen is not safe here.
Ibuprofen is to be avoided.
The use of ibuprofen is not recommended.
Ibuprofen would be harmful.
An ibuprofen excess was found.
Giving ibuprofen is dangerous.
Aspirin, naproxen and ibuprofen are contraindicated.
Ibuprofen and naproxen should both be avoided.
Avoid:\\n- ibuprofen
Avoid:\\n- smoking\\n- ibuprofen (hurts the stomach)
## Avoid\\n- ibuprofen
Medications to avoid:\\n1. aspirin\\n2. ibuprofen
Drugs to be avoided:\\n* oral ibuprofen
""".strip().splitlines()

PROPOSED = """
ibuprofen
Give ibuprofen.
Start ibuprofen 400 mg three times daily.
The answer is ibuprofen (B).
Do not delay ibuprofen.
Do not stop ibuprofen.
Do not withhold ibuprofen.
Do not avoid ibuprofen.
Do not hesitate to give ibuprofen.
Do not forget ibuprofen.
Do not give ibuprofen unless pain persists.
Never withhold ibuprofen.
Never forget ibuprofen.
There is no need to avoid ibuprofen.
There is no reason to withhold ibuprofen.
There are no contraindications to ibuprofen.
There is no known contraindication to ibuprofen.
Not only rest but also ibuprofen.
Why not ibuprofen?
If not contraindicated, ibuprofen.
Ibuprofen unless contraindicated.
Ibuprofen is not contraindicated.
Ibuprofen is contraindicated in children only.
Ibuprofen is contraindicated, but we need it.
Ibuprofen is usually contraindicated. Give it anyway.
Ibuprofen should be avoided. Still, start it now.
Ibuprofen should not be stopped.
Ibuprofen should not be delayed.
Ibuprofen is recommended, and aspirin is contraindicated.
Avoid aspirin. Give ibuprofen.
Avoid aspirin; ibuprofen 400 mg.
Avoid aspirin, give ibuprofen instead.
Avoid aspirin, ibuprofen is better.
Avoid aspirin and give ibuprofen.
Avoid aspirin and ibuprofen 400 mg twice daily.
Stop smoking and start ibuprofen.
Stop smoking, ibuprofen 400 mg.
Stop aspirin then ibuprofen.
Instead of aspirin use ibuprofen.
Replace aspirin with ibuprofen.
Switch from aspirin to ibuprofen.
Not aspirin, ibuprofen.
Not aspirin but ibuprofen.
Without delay, ibuprofen.
Without further tests start ibuprofen.
No fever, ibuprofen.
No fever so ibuprofen.
Avoid dehydration with ibuprofen and fluids.
Aspirin is contraindicated, so ibuprofen.
As aspirin is contraindicated, ibuprofen is given.
Give ibuprofen, aspirin is contraindicated.
Avoid:\\n- aspirin\\n\\nGive:\\n- ibuprofen
Avoid:\\n- aspirin\\n- smoking\\nGive ibuprofen
Not contraindicated:\\n- ibuprofen
Avoid delay:\\n- ibuprofen
Allergies: none. Ibuprofen.
Give something to replace the ibuprofen no longer made.
""".strip().splitlines()


@pytest.mark.parametrize("text", [line.replace("\\n", "\n") for line in REFUSED])
def test_a_refusal_is_no_proposal(text: str) -> None:
    assert "ibuprofen" in named(text)
    assert "ibuprofen" not in proposed(text)


@pytest.mark.parametrize("text", [line.replace("\\n", "\n") for line in PROPOSED])
def test_a_proposal_is_seen_through_words_of_refusal(text: str) -> None:
    assert "ibuprofen" in proposed(text)


@pytest.mark.parametrize(
    "text",
    [
        # Understood too narrowly: these are refusals to a reader. Kept as proposals, they cost a
        # false alarm; this list says which, and shrinks when one is learned.
        "Avoid alcohol and ibuprofen.",
        "Avoid nephrotoxic drugs such as ibuprofen.",
        "Should ibuprofen be given? No.",
        "Ibuprofen is no option.",
        "The patient is not a candidate for ibuprofen.",
        "In the past the patient took ibuprofen.",
    ],
)
def test_known_false_alarms(text: str) -> None:
    assert "ibuprofen" in proposed(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beta-blocker", "beta_blocker"),
        ("Beta Blockers", "beta_blocker"),
        ("betablocker", "beta_blocker"),
        ("β-blockers", "beta_blocker"),
        ("β‑blocker", "beta_blocker"),
        ("METOPROLOL", "beta_blocker"),
        ("Lopressor", "beta_blocker"),
        ("i b u p r o f e n", "ibuprofen"),
        ("ibu-\nprofen", "ibuprofen"),
        ("ibu\u200bprofen", "ibuprofen"),
        ("ibu\u00adprofen", "ibuprofen"),
        ("ibupr\u043ef\u0435n", "ibuprofen"),  # two Cyrillic letters
        ("".join(chr(ord(c) + 0xFEE0) for c in "ibuprofen"), "ibuprofen"),
        ("ibuprofén", "ibuprofen"),
        ("ibuprofin", "ibuprofen"),
        ("ibuprofn", "ibuprofen"),
        ("ibuprfoen", "ibuprofen"),
        ("ibbuprofen", "ibuprofen"),
        ("ibupr0fen", "ibuprofen"),
        ("NSAID", "ibuprofen"),
        ("NSAIDs", "naproxen"),
        ("non-steroidal anti-inflammatory drugs", "diclofenac"),
        ("L-thyroxine", "levothyroxine"),
        ("low molecular weight heparin", "heparin"),
        ("stopping the causative drug", "causative_drug_withdrawal"),
        ("topical corticosteroids", "topical_corticosteroid"),
    ],
)
def test_spellings(text: str, expected: str) -> None:
    assert expected in proposed(f"Give {text}.")


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("as a rule", "aspirin"),  # "as a" is not ASA
        ("systolic pressure", "beta_blocker"),  # not Bystolic
        ("to activate and mitigate", "thrombolysis"),  # not Activase
        ("Give topical corticosteroid.", "prednisone"),  # the longer name wins
        ("Give inhaled corticosteroid.", "prednisone"),
        ("asprin", "aspirin"),  # short names are not guessed: a known miss
        ("ibxprqfen", "ibuprofen"),  # two letters wrong: a known miss
        ("Dolormin", "ibuprofen"),  # a brand that is not in the table: a known miss
    ],
)
def test_what_is_not_a_name(text: str, absent: str) -> None:
    assert absent not in named(text)


def test_every_name_of_the_vocabulary_is_found_alone_and_in_a_sentence() -> None:
    vocabulary = clinic_vocabulary()
    tables = vocabulary.tables
    for drug, names in {**tables.treatments, **tables.other_drugs}.items():
        for name in names:
            for text in (name, name.upper(), f"We give {name}, then rest."):
                assert drug in proposed(text), (drug, text)


def test_a_names_place_is_that_of_the_folded_text() -> None:
    folded = fold("Avoid «Advil», give Beta-Blockers!")
    for mention in find_mentions(folded, NAMES):
        assert folded[mention.start : mention.end] == mention.text


words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
drugs = st.sampled_from(sorted(clinic_vocabulary().knowledge.treatments))


@given(drugs, st.lists(words, max_size=6))
def test_after_an_order_to_give_the_name_is_always_a_proposal(drug: str, before: list[str]) -> None:
    """Whatever stands in sentences before: a new sentence that orders it is a proposal."""
    name = clinic_vocabulary().knowledge.treatments[drug].name
    text = f"Avoid {' '.join(before)}. Give {name}."
    assert drug in proposed(text)


@given(drugs, drugs)
def test_a_refused_and_a_given_treatment_are_told_apart(given_one: str, refused: str) -> None:
    treatments = clinic_vocabulary().knowledge.treatments
    a, b = treatments[given_one].name, treatments[refused].name
    found = proposed(f"Give {a}. Do not give {b}.")
    assert given_one in found
    if given_one != refused:
        assert refused not in found


long_names = st.sampled_from(
    sorted({compact(t.name) for t in clinic_vocabulary().knowledge.treatments.values()})
).filter(lambda name: len(name) >= LONG)


@given(long_names, st.data())
def test_a_long_name_with_one_letter_changed_is_found(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrtuvwxyz"))
    wrong = name[:at] + letter + name[at + 1 :]
    assert NAMES.resolve(wrong) or wrong == name


@given(st.text(max_size=400))
def test_no_text_breaks_the_reader(text: str) -> None:
    for mention in find_mentions(fold(text), NAMES):
        assert mention.ids


@given(words, words)
def test_one_edit_apart_is_what_a_brute_force_finds(a: str, b: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    edits = {a[:i] + a[i + 1 :] for i in range(len(a))}
    edits |= {a[:i] + c + a[i:] for i in range(len(a) + 1) for c in letters}
    edits |= {a[:i] + c + a[i + 1 :] for i in range(len(a)) for c in letters}
    edits |= {a[:i] + a[i + 1] + a[i] + a[i + 2 :] for i in range(len(a) - 1)}
    for near in sorted(edits)[:: max(1, len(edits) // 50)]:
        assert one_edit_apart(a, near) == (near != a)
        assert not one_edit_apart(a, near) or deletions(a) & deletions(near)
    assert one_edit_apart(a, b) == (b in edits - {a})


def test_a_long_answer_is_read_in_time() -> None:
    """Cues are sought near a name only, so that ten times the text takes ten times as long."""
    import time

    def cpu(times: int) -> float:
        """Of the best of three: other work on the machine makes single ones slower."""
        folded = fold("Avoid aspirin, ibuprofen and the like, and so on and on, or not. " * times)
        found = []
        for _ in range(3):
            began = time.process_time()
            find_mentions(folded, NAMES)
            found.append(time.process_time() - began)
        return min(found)

    assert cpu(400) < 40 * max(cpu(40), 0.01)
