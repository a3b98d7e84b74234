"""Early warning over real processes: served from the first day, refused to few members, run by them if they insist."""

import re
import time

import httpx
import pytest

from demo.cluster import StepFailed
from engine.warning.firms import simulate
from warm import WarmCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SIMULATED = "made from simulated firms, not checked on real ones"


def test_a_firm_is_warned_from_its_own_books_and_a_run_is_offered_only_where_it_can_pay(tmp_path):
    with WarmCluster(tmp_path, "en") as chamber:
        chamber.found(epsilon_run="4", tasks=("warning",))

        def office(*words):
            return chamber.command("coordinator", *words, home="chamber")

        assert "protected unit: one member, at most 1 units of 48 rows" in office("agreement", "show")
        homes = []
        for number, table in enumerate(simulate(3, 60, 12).tables(60), 1):
            data = tmp_path / f"data-{number}"
            data.mkdir()
            table.write_csv(data / "firm.csv")
            homes.append(chamber.join(number, f"会员{number}", data, epsilon_run="4"))
        first = served(chamber, homes[0])
        assert first["votes"]["votes"][0]["whose"] == "public" and SIMULATED in first["note"]
        assert "warning: no faults, 60 rows can be used" in chamber.command(
            "client_node", "data", "check", home=homes[0]
        )

        words = ("order", "warning", "--epsilon", "1")
        told = office(*words, "--dry-run")
        assert "unit member" in told and "simulated firms, damaged prior, 120 members, 1 - AUC" in told
        assert "the default is not to order" in told and "Gate: none" in told
        with pytest.raises(StepFailed, match="did not beat the unspent start"):
            office(*words, "--yes")
        assert chamber.json("coordinator", "status", home="chamber")["runs"] == []

        for home in homes:
            chamber.run_node(home)
        assert "model released" in office(*words, "--deadline", "15", "--yes", "--spend-anyway", "--wait")
        after = served(chamber, homes[0])
        assert after["votes"]["votes"][0]["whose"] == "shared" and SIMULATED in after["note"]
        assert after["votes"]["votes"][0]["model"] != first["votes"]["votes"][0]["model"]
        accounts = chamber.json("client_node", "status", home=homes[0])["accounts"]
        own = {(one["dataset"], one["unit"]): one["rho_nano"] for one in accounts}
        assert 0 < own["early-warning", "member"] <= 24_355_970

        [model] = chamber.json("coordinator", "models", home="chamber")
        assert SIMULATED in office("models", model["run"][:15])
        page = httpx.get(f"{chamber.url}/models/{model['run']}?lang=zh", verify=False, trust_env=False).text
        assert "未在真实企业上检验" in page and "银行授信" in page
        assert audited(chamber, homes[0])["clean"]
        shown, number = after["lines"][0]["id"], tmp_path / "number.json"
        assert re.fullmatch(r"\d{4}-\d{2}", shown)
        chamber.command("client_node", "show", after["receipt"], shown, "--out", number, home=homes[0])
        assert chamber.json("auditor", "verify-receipt", number, "--pins", tmp_path / "pins.json")["clean"]


def served(chamber, home):
    return chamber.json("client_node", "warn", home=home)


def audited(chamber, home):
    pins, auditor, mirror = (chamber.folder / name for name in ("pins.json", "auditor", "mirror"))
    chamber.command("client_node", "pins", "--out", pins, home=home)
    chamber.command("auditor", "init", auditor)
    chamber.command("coordinator", "admit-auditor", auditor / "admission.json", home="chamber")
    time.sleep(1.5)  # the members cosign the newest checkpoint
    identity = auditor / "identity.key"
    chamber.command("auditor", "mirror", chamber.url, mirror, "--pins", pins, "--identity", identity)
    return chamber.json("auditor", "verify", mirror, "--pins", pins, ok=(0, 1))
