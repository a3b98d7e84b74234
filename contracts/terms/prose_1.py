"""The text of an agreement of edition 1, in two languages. Published texts are named by
digest: nothing here changes."""

from __future__ import annotations

from contracts.terms.agreement import TaskTerms, Terms
from contracts.wording import Language

UNIT = {
    "zh": {"row": "一行记录", "counterparty": "一个交易对方", "series": "一个产品序列", "member": "一家会员"},
    "en": {
        "row": "one row",
        "counterparty": "one counterparty",
        "series": "one product series",
        "member": "one member",
    },
}
PURPOSE = {
    "zh": {"demand-forecast": "需求预测", "early-risk-warning": "风险预警", "research": "共同研究"},
    "en": {
        "demand-forecast": "demand forecast",
        "early-risk-warning": "early warning of risk",
        "research": "joint research",
    },
}

_ZH = """# {chamber}数据信托协议  第 {version} 版
有效期：{valid_from} 至 {valid_to}。{supersedes}

1. 数据不离开会员。每家会员的节点在本机训练，只送出经截断并加噪的汇总数；原始记录、行数和指标都不离开。
2. 用途仅限下列任务：
{tasks}
3. 隐私额度：每次联合训练 ε ≤ {epsilon_run}，每年 ε ≤ {epsilon_year}（δ = {delta}）；执行时以整数计：每次 ρ ≤ {rho_run}，每年 ρ ≤ {rho_year}（单位 10⁻⁹）。模型种类：{families}。噪声由会员自己的节点加入，相邻关系为增加或减少一个单位。
4. {secure_sum}
5. 每轮至少 {min_members} 家会员，每次联合训练至多 {rounds} 轮，两轮至少相隔 {interval} 秒；每年至多 {orders} 次联合训练、{aborted} 轮中止；每次训练至多 {window} 秒，每轮至多 {deadline} 秒。
6. 会员可随时撤回，下一次截止时起不再使用其数据；此前各轮保持有效。
7. 结果只供会员使用，不得转作他用。数据持有权始终属于会员；会员授予：{rights}。{gate}
8. 记录保存 {years} 年，各会员的贡献保存 {days} 天，之后删除；日志只留摘要。每份协议、授权和每次使用都写入透明日志，任何持有公钥的人都可核验。{auditors}
9. 会员对数据来源的合法性作出说明。{assessment}
10. 适用法律：{law}；争议由{dispute}管辖。中英文不一致时以中文为准。

附：摘要
{digests}
"""
_EN = """# Data trust agreement of {chamber}, version {version}
Valid from {valid_from} to {valid_to}. {supersedes}

1. Data stay with the member. Each member's node trains on its own machine and sends only clipped sums with noise; rows, row counts and metrics do not leave.
2. The only purposes are these tasks:
{tasks}
3. Privacy budget: at most epsilon {epsilon_run} a run and epsilon {epsilon_year} a year (delta = {delta}); enforced in integers, rho at most {rho_run} a run and {rho_year} a year (in units of 1e-9). Families of models: {families}. The member's own node adds the noise; neighbours differ by adding or removing one unit.
4. {secure_sum}
5. A round has at least {min_members} members, a run at most {rounds} rounds, at least {interval} seconds apart; a year at most {orders} runs and {aborted} aborted rounds; a run takes at most {window} seconds, a round {deadline}.
6. A member may withdraw at any time; from the next cut-off on its data are not used; earlier rounds stay valid.
7. Results are for members only and for no other use. The right to hold the data stays with the member, who grants: {rights}.{gate}
8. Records are kept for {years} years and members' contributions for {days} days, then deleted; the log keeps digests only. Every agreement, every consent and every use is in the transparency log, which anyone with the public keys can check. {auditors}
9. Members state that the source of their data is lawful. {assessment}
10. Law: {law}; court: {dispute}. Where the languages differ, the Chinese text prevails.

Annex: digests
{digests}
"""
_SUPERSEDES = {"zh": ("本版取代此前版本 {0}。", ""), "en": ("It supersedes {0}.", "")}
_AUDITORS = {"zh": ("指定的审计密钥：{0}。", ""), "en": ("Named auditors' keys: {0}.", "")}
_GATE = {
    "zh": ("模型须先在未参与训练的留出单位上通过发布闸门，方可发布；未带闸门的训练指令无效。", ""),
    "en": (
        (
            " A model is released only once a gate on held-out units, on which nobody trained, has let it pass; an "
            "order to train without a gate is void."
        ),
        "",
    ),
}
_ASSESSMENT = {
    "zh": ("影响评估文件的摘要：{0}。", "未附影响评估。"),
    "en": ("Digest of the impact assessment: {0}.", "No impact assessment is attached."),
}
RIGHTS = {
    "zh": {"processing-use": "加工使用权", "product-operation": "产品经营权"},
    "en": {"processing-use": "the right to process and use", "product-operation": "the right to operate products"},
}
_DIGESTS = {
    "zh": (
        ("任务 {0} 的列定义", "tasks"),
        ("任务 {0} 的公开模型（由不属于任何会员的记录得出，不消耗隐私额度）", "public_models"),
        ("可运行的代码", "bundles"),
        ("起始模型", "start_models"),
    ),
    "en": (
        ("columns of task {0}", "tasks"),
        ("public model of task {0} (of rows that belong to no member; it costs no budget)", "public_models"),
        ("code that may run", "bundles"),
        ("model to start from", "start_models"),
    ),
}
_COMPANY = {"zh": "商会代码", "en": "company code of the chamber"}
_TASK_LINE = {
    "zh": "   - {purpose}（{task}，数据集 {dataset}，每行为{rows}，保护单位：{unit}，至多 {max_units} 个单位、每单位 {max_rows} 行，{personal}）",
    "en": (
        "   - {purpose} ({task}, dataset {dataset}, a row is: {rows}; protected unit: {unit}, at most {max_units} "
        "units of {max_rows} rows, {personal})"
    ),
}
PERSONAL = {
    "zh": {True: "含个人信息", False: "不含个人信息"},
    "en": {True: "with personal data", False: "no personal data"},
}
_SECURE_SUM = {
    "zh": {
        "required": "各会员的贡献只以安全求和合并：协调器得到总和，得不到任何一家的贡献；至少三家会员在场，否则不合并。上述额度保护的是单个单位；会员的总量由安全求和隐藏，条件是与商会串通的会员不到三分之一。",
        "none": "本协议不使用安全求和：协调器能看到每家会员加噪后的贡献，并可由此估计该会员的总量；上述额度保护的是单个单位，不是会员的总量。",
    },
    "en": {
        "required": (
            "Contributions are combined by a secure sum only: the coordinator learns the sum and no member's "
            "contribution; at least three members are in it, or nothing is combined. The budget above protects a "
            "single unit; a member's totals are hidden by the secure sum, as long as fewer than a third of the "
            "members conspire with the chamber."
        ),
        "none": (
            "No secure sum is used: the coordinator sees each member's noised contribution, from which that member's "
            "totals can be estimated; the budget above protects a single unit, not a member's totals."
        ),
    },
}


def text(terms: Terms, lang: Language) -> str:
    """See contracts.terms.prose."""
    privacy, rounds = terms.privacy, terms.rounds
    return (_ZH if lang == "zh" else _EN).format(
        chamber=terms.chamber.name,
        version=terms.version,
        valid_from=terms.valid_from,
        valid_to=terms.valid_to,
        supersedes=either(_SUPERSEDES[lang], terms.supersedes),
        tasks="\n".join(_task_line(task, lang) for task in terms.tasks),
        epsilon_run=privacy.epsilon_run_max,
        epsilon_year=privacy.epsilon_year_max,
        rho_run=privacy.rho_run_max_nano,
        rho_year=privacy.rho_year_max_nano,
        delta=privacy.delta,
        families=", ".join(privacy.families),
        secure_sum=_SECURE_SUM[lang][terms.secure_sum],
        min_members=terms.min_members,
        rounds=rounds.max_per_run,
        interval=rounds.interval_min_s,
        orders=rounds.orders_max,
        aborted=rounds.aborted_max,
        window=rounds.window_max_s,
        deadline=rounds.deadline_max_s,
        rights=", ".join(RIGHTS[lang][right] for right in terms.rights_granted),
        gate=either(_GATE[lang], terms.gate),
        years=terms.records_kept_years,
        days=terms.contributions_kept_days,
        auditors=either(_AUDITORS[lang], ", ".join(terms.auditors)),
        assessment=either(_ASSESSMENT[lang], terms.impact_assessment),
        law=terms.law,
        dispute=terms.dispute,
        digests=digests(terms, lang),
    )


def either(texts: tuple[str, str], value: str | None) -> str:
    """The first text with the value, or the second where there is none."""
    return texts[0].format(value) if value else texts[1]


def _task_line(task: TaskTerms, lang: Language) -> str:
    return _TASK_LINE[lang].format(
        purpose=PURPOSE[lang][task.purpose],
        task=task.task,
        dataset=task.dataset,
        rows=task.row_meaning,
        unit=UNIT[lang][task.unit],
        max_units=task.max_units,
        max_rows=task.max_rows_per_unit,
        personal=PERSONAL[lang][task.personal_data],
    )


def digests(terms: Terms, lang: Language) -> str:
    """The annex: what the agreement names by digest."""
    named = {
        "tasks": [(t.task, t.schema_digest) for t in terms.tasks],
        "public_models": [(t.task, t.public_model) for t in terms.tasks if t.public_model],
        "bundles": [("", d) for d in terms.bundles],
        "start_models": [("", d) for d in terms.start_models],
    }
    lines = [f"   - {label.format(what)}: {d}" for label, field in _DIGESTS[lang] for what, d in named[field]]
    return "\n".join([*lines, f"   - {_COMPANY[lang]}: {terms.chamber.code_digest}", f"   - id: {terms.id}"])
