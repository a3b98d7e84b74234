"""The agreement that people read is the one that nodes enforce, in both languages."""

import json
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry

from contracts import dsp
from contracts.errors import Invalid, Refused
from contracts.terms.agreement import Grouped, Terms, Weighted
from contracts.terms.check import check, faults
from contracts.terms.prose import check_prose, prose, with_prose
from contracts.terms.reading import TASK_TERMS, TERMS, differences, page
from shell.language import translator
from simulator import Trust

VECTORS = Path(__file__).parent.parent / "vectors"
SAME_IN_ALL = {"format", "prose", "combining", "beneficiaries", "onward_use", "withdrawal", "provenance"}
SAME_IN_ALL |= {"privacy.noise", "privacy.neighbours", "totals.rule"}  # one value each: nothing to tell apart


GROUPS = Grouped(rule="groups", size=4, colluders=1, after_leaving="rest")
LATER = {"totals": GROUPS, "members_shown": "register", "secure_sum": "required"}


NAMED_LATER = {("totals", name) for name in Grouped.model_fields} | {("members_shown",), ("tasks", 0, "row_meaning_zh")}


@pytest.fixture(scope="module", params=[1, 2])
def trust(request):
    made = Trust(gate="required")
    [task] = made.terms.tasks
    task = task.model_copy(update={"public_model": "sha256:" + "5" * 64})
    if request.param == 1:
        return Trust(gate="required", tasks=(task,))
    task = task.model_copy(update={"row_meaning_zh": "一个客户"})
    return Trust(gate="required", tasks=(task,), edition=2, **LATER)


def test_dates_spans_and_amounts_are_written_as_people_write_them(trust):
    later = trust.make_terms(edition=2, **LATER)
    text = prose(later, "zh")
    assert "259200" not in text and "10⁻⁹" not in text and "Z至" not in text
    assert "整次至多 3 天" in text and "每轮至多 1 小时" in text and "北京时间 2026年" in text
    assert "a run at most 50 rounds, at least 0 seconds apart; a round takes at most 1 hour" in prose(later, "en")


@pytest.mark.parametrize(
    "rule", [GROUPS, GROUPS.model_copy(update={"after_leaving": "go-on"}), Weighted(rule="weighted"), None]
)
def test_each_way_to_hide_totals_has_words_of_its_own(trust, rule):
    same = LATER | {"id": trust.terms.id}
    said = {prose(trust.make_terms(edition=2, **same | {"totals": other}), "zh") for other in (rule, GROUPS)}
    assert len(said) == (1 if rule == GROUPS else 2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"valid_to": "2020-01-01T00:00:00Z"}, "needs a period"),
        ({"tasks": ()}, "needs a period"),
        ({"min_members": 2}, "at least {n} members"),
        ({"totals": None}, "does not say how the totals"),
        ({"secure_sum": "none"}, "without the secure sum"),
        ({"totals": GROUPS.model_copy(update={"colluders": 2})}, "one more for each"),
        ({"totals": GROUPS.model_copy(update={"size": 2, "colluders": 0})}, "one more for each"),
    ],
)
def test_terms_that_contradict_themselves_are_named(trust, changes, sentence):
    assert list(faults(trust.make_terms(edition=2, **LATER))) == []
    [(what, _values)] = faults(trust.make_terms(edition=2, **LATER | changes))
    assert sentence in what


def test_a_budget_or_a_round_that_is_larger_than_its_whole_is_named(trust):
    terms = trust.make_terms(edition=2, **LATER)
    privacy = terms.privacy.model_copy(update={"epsilon_run_max": "10"})
    rounds = terms.rounds.model_copy(update={"deadline_max_s": 400_000})
    wrong = trust.make_terms(edition=2, **LATER, privacy=privacy, rounds=rounds)
    assert len(list(faults(wrong))) == 2


def test_edition_1_cannot_hold_what_its_text_does_not_say(trust):
    [(what, _values)] = faults(trust.make_terms(edition=1, **LATER))
    assert "does not say" in what


def leaves(terms):
    """Path -> value of every field of the terms."""
    fields = terms.model_dump(mode="json")
    found = {("tasks", 0, name): value for name, value in fields.pop("tasks")[0].items()}
    for name, value in fields.items():
        nested = value.items() if isinstance(value, dict) and name != "prose" else ()
        found |= {(name, key): held for key, held in nested} or {(name,): value}
    return found


def other(value):
    """A value of the same type that also fits the field."""
    match value:
        case bool():
            return not value
        case int():
            return value + 7
        case list():
            return [other(value[0])] if value else ["sha256:" + "7" * 64]
        case None:
            return "sha256:" + "7" * 64
    if value in ("一个客户", "a customer"):
        return value + "5"
    known = {"processing-use": "product-operation", "row": "series", "early-risk-warning": "research"}
    known |= {"rest": "go-on", "groups": "groups"}
    known |= {"required": "none", "none": "required", "gradients": "trees", "trees": "gradients", "1e-6": "1e-5"}
    if value in known:
        return known[value]
    if value.startswith("sha256:"):
        return "sha256:" + "7" * 64
    if value.startswith("urn:uuid:"):
        return value[:-3] + "abc"
    return value.replace("2026", "2025").replace("2027", "2028") if value.endswith("Z") else value + "5"


def changed(terms, path):
    fields = json.loads(terms.model_dump_json())
    held = fields
    for step in path[:-1]:
        held = held[step]
    held[path[-1]] = None if path in (("gate",), ("members_shown",)) else other(held[path[-1]])
    return Terms.model_validate_json(json.dumps(fields))


def test_every_field_of_the_terms_can_be_read_in_both_texts(trust):
    silent = []
    for path in leaves(trust.terms):
        if ".".join(map(str, path)) in SAME_IN_ALL or path == ("privacy", "families"):
            continue
        altered = changed(trust.terms, path)
        silent += [(path, lang) for lang in ("zh", "en") if prose(altered, lang) == prose(trust.terms, lang)]
        with pytest.raises(Invalid, match="does not follow"):
            check_prose(altered)
    own = [(("tasks", 0, "row_meaning"), "zh"), (("tasks", 0, "row_meaning_zh"), "en")]  # each language says its own
    assert silent == (own if trust.terms.edition == 2 else [])


def test_every_field_has_a_name_for_people_and_a_changed_one_is_told(trust):
    told = {("tasks", 0, name) for name in TASK_TERMS} | {tuple(name.split(".")) for name in TERMS}
    told -= set() if trust.terms.edition == 2 else NAMED_LATER
    unnamed = {("format",), ("id",), ("version",), ("supersedes",), ("prose",), ("tasks", 0, "task")}
    assert set(leaves(trust.terms)) == told | unnamed
    for path in told - {tuple(name.split(".")) for name in SAME_IN_ALL} - {("privacy", "families")}:
        assert len(differences(trust.terms, changed(trust.terms, path))) == 1, path
    assert differences(trust.terms, trust.terms) == []


def test_a_task_that_comes_or_goes_is_one_difference(trust):
    extra = trust.terms.tasks[0].model_copy(update={"task": "demand"})
    wider = with_prose(trust.terms.model_copy(update={"tasks": (*trust.terms.tasks, extra)}))
    without = trust.terms.tasks[0].model_copy(update={"public_model": None})
    [named] = differences(trust.terms.model_copy(update={"tasks": (without,)}), trust.terms)
    assert named.term == "task {task}: public model (digest)" and named.before == "-"
    [difference] = differences(trust.terms, wider)
    assert (difference.term.format_map(difference.values), difference.before, difference.after) == (
        "task demand",
        "-",
        "demand",
    )


class Reader(HTMLParser):
    """Collects text and the tags that are still open."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_page_says_what_the_text_says_and_nothing_in_it_runs(trust, lang):
    evil = with_prose(trust.terms.model_copy(update={"law": "<script>alert(1)</script> & more"}))
    reader = Reader()
    html = page(evil, lang, translator("coordinator", lang), origin="chamber.test/consent-log", fingerprint="AB12 CD34")
    reader.feed(html)
    assert reader.open == [] and "<script" not in html
    for line in prose(evil, lang).splitlines():
        assert line.strip("# -") in reader.text
    assert "chamber.test/consent-log" in reader.text and "AB12 CD34" in reader.text


DSP = "https://w3id.org/dspace/2025/1/"


def check_dsp(made, schema, definition=""):
    """Against the published schemas of the protocol."""
    published = [json.loads(path.read_text(encoding="utf-8")) for path in (VECTORS / "dsp").glob("*.json")]
    known = Registry().with_contents([(one["$id"], one) for one in published])
    jsonschema.Draft201909Validator({"$ref": f"{DSP}{schema}.json{definition}"}, registry=known).validate(made)


def check_policy(made, kind):
    """An Offer without target fits two branches of the schema's own `oneOf`, so each kind is held against its own."""
    check_dsp(made, "negotiation/contract-schema", f"#/definitions/{kind}")


def test_what_is_exported_for_data_spaces_fits_their_schema_and_says_the_same(trust):
    trust.consent(trust.firms[0], scope={"epsilon_year_max": "2"})
    consent = trust.state.consent(trust.firms[0].member, trust.agreement).consent
    offered, [agreed] = dsp.offer(trust.terms), dsp.agreements(trust.terms, consent, chamber="chamber.test")
    check_policy(offered, "Offer")
    check_policy(agreed, "Agreement")
    for made in (offered, agreed):
        check_dsp(made["@context"], "common/context-schema")
    sent = {"@context": agreed["@context"], "providerPid": "urn:p", "consumerPid": "urn:c"}
    agreement = {**sent, "@type": "ContractAgreementMessage", "callbackAddress": "https://c", "agreement": agreed}
    check_dsp(agreement, "negotiation/contract-agreement-message-schema")
    offer = {**sent, "@type": "ContractOfferMessage", "offer": {**offered, "target": agreed["target"]}}
    check_dsp(offer, "negotiation/contract-offer-message-schema")
    assert agreed["assigner"] == trust.firms[0].member and "target" not in offered
    held = {c["leftOperand"]: c["rightOperand"] for c in agreed["permission"][0]["constraint"]}
    assert held["urn:mengbang:odrl:epsilonYear"] == "2" and held["purpose"].startswith("https://w3id.org/dpv#")


@pytest.mark.parametrize("broken", [{"@type": "Set"}, {"permission": []}, {"assigner": 7}, {"permission": [{}]}])
def test_the_schema_refuses_what_is_no_policy(trust, broken):
    trust.consent(trust.firms[0])
    consent = trust.state.consent(trust.firms[0].member, trust.agreement).consent
    [agreed] = dsp.agreements(trust.terms, consent, chamber="chamber.test")
    with pytest.raises(jsonschema.ValidationError):
        check_policy(agreed | broken, "Agreement")


@pytest.mark.parametrize("edition", [1, 2])
def test_terms_that_nobody_could_keep_are_refused_whoever_asks(trust, edition):
    later = LATER if edition == 2 else {}
    check(trust.make_terms(edition=edition, **later))
    privacy = trust.terms.privacy.model_copy(update={"epsilon_run_max": "10"})
    for changes in ({"valid_to": "2020-01-01T00:00:00Z"}, {"privacy": privacy}, {"tasks": ()}):
        with pytest.raises(Refused) as error:
            check(trust.make_terms(edition=edition, **later | changes))
        assert error.value.code == "AGREEMENT_TERMS" and all(error.value.lines())


def test_a_log_of_edition_1_keeps_its_verdict_on_a_run_limit_above_the_year_s(trust):
    privacy = trust.terms.privacy.model_copy(update={"epsilon_run_max": "10"})
    assert list(faults(trust.make_terms(edition=1, privacy=privacy))) == []
    assert len(list(faults(trust.make_terms(edition=2, **LATER, privacy=privacy)))) == 1
