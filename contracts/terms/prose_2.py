"""The text of an agreement of edition 2, in two languages: dates, spans and amounts as people write them,
and how totals are hidden."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal

from contracts.fields import moment
from contracts.terms.agreement import Grouped, TaskTerms, Terms
from contracts.terms.prose_1 import PERSONAL, PURPOSE, RIGHTS, UNIT, digests, either
from contracts.wording import Language

_ZH = """# {chamber}数据信托协议（第 {version} 版）
自{valid_from}起，至{valid_to}止。{supersedes}

1. 数据不离开会员。每家会员的节点在自己的机器上训练，只送出经截断并加噪的汇总数；原始记录、行数和指标都不离开。
2. 只用于下列任务：
{tasks}
3. 隐私额度：每次联合训练 ε 不超过 {epsilon_run}，每年 ε 不超过 {epsilon_year}（δ 为 {delta}）；节点按 ρ 执行，每次不超过 {rho_run}，每年不超过 {rho_year}。可用的模型种类：{families}。噪声由会员自己的节点加入；额度保护的是单个单位，即有无这一个单位，结果几乎分辨不出。
4. {secure_sum}
{totals}
5. 每轮至少 {min_members} 家会员；每次联合训练至多 {rounds} 轮，两轮至少相隔 {interval}，每轮至多 {deadline}，整次至多 {window}；每年至多 {orders} 次联合训练、{aborted} 轮中止。超过期限的轮次只能中止。
6. 会员可随时撤回，下一次截止时起不再使用其数据；此前各轮保持有效。会员的授权是否仍然有效，除商会的时间外，也按会员自己节点的时间判断。
7. 结果只供会员使用，不得转作他用。数据持有权始终属于会员；会员授予：{rights}。{gate}
8. 记录保存 {years} 年，各会员的贡献保存 {days} 天，之后删除；日志只留摘要。每份协议、授权和每次使用都写入透明日志，任何持有公钥的人都可核验。{auditors}{shown}
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
3. Privacy budget: at most epsilon {epsilon_run} a run and epsilon {epsilon_year} a year (delta {delta}); nodes enforce it as rho, at most {rho_run} a run and {rho_year} a year. Families of models: {families}. The member's own node adds the noise. The budget protects a single unit: whether it is there or not can hardly be told from the results.
4. {secure_sum}
{totals}
5. A round has at least {min_members} members; a run at most {rounds} rounds, at least {interval} apart; a round takes at most {deadline}, a whole run at most {window}; a year has at most {orders} runs and {aborted} aborted rounds. A round past its time can only be aborted.
6. A member may withdraw at any time; from the next cut-off on its data are not used; earlier rounds stay valid. Whether a consent still holds is judged by the clock of the member's own node too, not by the chamber's alone.
7. Results are for members only and for no other use. The right to hold the data stays with the member, who grants: {rights}.{gate}
8. Records are kept for {years} years and members' contributions for {days} days, then deleted; the log keeps digests only. Every agreement, every consent and every use is in the transparency log, which anyone with the public keys can check. {auditors}{shown}
9. Members state that the source of their data is lawful. {assessment}
10. Law: {law}; court: {dispute}. Where the languages differ, the Chinese text prevails.

Annex: digests
{digests}
"""
_SUPERSEDES = {"zh": ("本版取代此前版本 {0}。", ""), "en": ("It supersedes {0}.", "")}
_AUDITORS = {"zh": ("指定的审计密钥：{0}。", ""), "en": ("Named auditors' keys: {0}. ", "")}
_SHOWN = {
    "zh": (
        "各会员的节点可查看同一轮中其他会员的名称和统一社会信用代码。",
        "会员看不到同一轮中还有谁；其他会员是真实的企业，由商会担保。",
    ),
    "en": (
        "Each member's node can see the names and company codes of the others in a round.",
        (
            "Members do not see who else is in a round; that the others are real companies is what the chamber "
            "vouches for."
        ),
    ),
}
_GATE = {
    "zh": ("模型须先在未参与训练的留出单位上通过发布闸门，方可发布；未带闸门的训练指令无效。", ""),
    "en": (
        " A model is released only once a gate on held-out units, on which nobody trained, has let it pass; an order to"
        " train without a gate is void.",
        "",
    ),
}
_ASSESSMENT = {
    "zh": ("影响评估文件的摘要：{0}。", "未附影响评估。"),
    "en": ("Digest of the impact assessment: {0}.", "No impact assessment is attached."),
}
_FAMILY = {
    "zh": {"trees": "随机树", "gradients": "神经网络", "moments": "线性模型", "histogram": "直方图"},
    "en": {"trees": "random trees", "gradients": "networks", "moments": "linear models", "histogram": "histograms"},
}
_TASK_LINE = {
    "zh": "   - {purpose}（{task}，数据集 {dataset}，每行为：{rows}；保护单位：{unit}，至多 {max_units} 个单位、每单位 {max_rows} 行，{personal}）",
    "en": (
        "   - {purpose} ({task}, dataset {dataset}, a row is: {rows}; protected unit: {unit}, at most {max_units} "
        "units of {max_rows} rows, {personal})"
    ),
}
_SECURE_SUM = {
    "zh": {
        "required": "各会员的贡献只以安全求和合并：协调器得到总和，得不到任何一家的贡献，前提是与商会串通的会员不到三分之一；至少三家会员在场，否则不合并。",
        "none": "本协议不使用安全求和：协调器能看到每家会员加噪后的贡献。",
    },
    "en": {
        "required": (
            "Contributions are combined by a secure sum only: the coordinator learns the sum and no member's "
            "contribution, as long as fewer than a third of the members conspire with the chamber; at least three "
            "members are in it, or nothing is combined."
        ),
        "none": "No secure sum is used: the coordinator sees each member's noised contribution.",
    },
}
_GROUPS = {
    "zh": (
        "   会员的总量：对每个数据集，由日志的规则（不由商会）把已授权的会员分成小组，不足 {few} 家时为一组；每组至少有 {size} 家此前不在任何小组的会员，后来的会员凑足 {size} "
        "家才成组。小组跨年度、跨版本不变；一组的会员要么全部计入一轮的总和，要么全部不计入。因此所有总和的任何组合都至少包含 {size} 家会员；假定其中与商会串通的不超过 {colluders} "
        "家。{leaving}这样隐藏不了的：一组之中若有一家远大于其他各家，全组的总量就接近它的总量；一组各项总量之间的比例；已事先说明的退出；同一批数据用于两个数据集，两处的小组可能不同。"
    ),
    "en": (
        "   Totals of a member: for each dataset the rules of the log, not the chamber, put the consenting members "
        "into groups, fewer than {few} into one; each group has at least {size} members that were in none before, "
        "and those who come later form one as soon as they are {size}. Groups last over years and versions of this "
        "agreement; the members of a group are all in the sum of a round or all out of it. So every combination of "
        "all sums is of at least {size} members, of whom at most {colluders} are assumed to conspire with the "
        "chamber. {leaving} What this cannot hide: where one member of a group is far larger than the others, the "
        "group's totals are close to its own; the ratios of a group's totals to one another; a leave that was shown "
        "before; the same data in two datasets, whose groups may differ."
    ),
}
_LEAVING = {
    "zh": {
        "rest": "有会员自行退出的小组停到次年，再不含该会员继续；剩下的不足，或该会员来自先前的小组时，须等新的会员。退出前节点先向其说明退出前后总和之差会显示什么。",
        "go-on": "有会员自行退出的小组不含该会员继续；剩下的不足，或该会员来自先前的小组时，须等新的会员。退出前节点先向其说明退出前后总和之差会显示什么。",
    },
    "en": {
        "rest": (
            "A group that a member leaves by its own word rests until the next year and then goes on without it; "
            "where too few are left, or the member had come from an earlier group, it waits for new members. Before "
            "a member leaves, its node shows it what the difference of the sums before and after would tell."
        ),
        "go-on": (
            "A group that a member leaves by its own word goes on without it; where too few are left, or the member "
            "had come from an earlier group, it waits for new members. Before a member leaves, its node shows it "
            "what the difference of the sums before and after would tell."
        ),
    },
}
_WEIGHTED = {
    "zh": (
        "   会员的总量：每家会员的节点以一个只有自己知道、长期不变的系数（0.42 至 1）乘以自己各单位的贡献。即使其他所有会员都与商会串通，一家会员的总量也只能推知到约 "
        "±25%；其各项总量之间的比例不受此保护。代价是贡献平均缩小到约 67%。"
    ),
    "en": (
        "   Totals of a member: each node multiplies the contributions of its units by a secret factor of its own, "
        "from 0.42 to 1, the same for ever. Even if all other members conspire with the chamber, a member's totals "
        "can be told to about ± 25 % only; the ratios of its totals to one another are not protected by this. The "
        "price is that contributions shrink to about 67 % on average."
    ),
}
_OPEN = {
    "zh": "   会员的总量：不受上述额度保护，可由加噪后的贡献估计。",
    "en": (
        "   Totals of a member: the budget does not protect them; they can be estimated from its noised contributions."
    ),
}
_SPANS = ((86_400, "天", "day"), (3600, "小时", "hour"), (60, "分钟", "minute"), (1, "秒", "second"))
_BEIJING = timezone(timedelta(hours=8))


def text(terms: Terms, lang: Language) -> str:
    """See contracts.terms.prose."""
    privacy, rounds = terms.privacy, terms.rounds
    return (_ZH if lang == "zh" else _EN).format(
        chamber=terms.chamber.name,
        version=terms.version,
        valid_from=_day(terms.valid_from, lang),
        valid_to=_day(terms.valid_to, lang),
        supersedes=either(_SUPERSEDES[lang], terms.supersedes),
        tasks="\n".join(_task_line(task, lang) for task in terms.tasks),
        epsilon_run=privacy.epsilon_run_max,
        epsilon_year=privacy.epsilon_year_max,
        rho_run=_rho(privacy.rho_run_max_nano),
        rho_year=_rho(privacy.rho_year_max_nano),
        delta=privacy.delta,
        families=_list([_FAMILY[lang][family] for family in privacy.families], lang),
        secure_sum=_SECURE_SUM[lang][terms.secure_sum],
        totals=_totals(terms, lang),
        min_members=terms.min_members,
        rounds=rounds.max_per_run,
        interval=_span(rounds.interval_min_s, lang),
        orders=rounds.orders_max,
        aborted=rounds.aborted_max,
        window=_span(rounds.window_max_s, lang),
        deadline=_span(rounds.deadline_max_s, lang),
        rights=_list([RIGHTS[lang][right] for right in terms.rights_granted], lang),
        gate=either(_GATE[lang], terms.gate),
        years=terms.records_kept_years,
        days=terms.contributions_kept_days,
        auditors=either(_AUDITORS[lang], ", ".join(terms.auditors)),
        shown=either(_SHOWN[lang], terms.members_shown),
        assessment=either(_ASSESSMENT[lang], terms.impact_assessment),
        law=terms.law,
        dispute=terms.dispute,
        digests=digests(terms, lang),
    )


def _totals(terms: Terms, lang: Language) -> str:
    held = terms.totals
    if held is None:
        return _OPEN[lang]
    if not isinstance(held, Grouped):
        return _WEIGHTED[lang]
    leaving = _LEAVING[lang][held.after_leaving]
    return _GROUPS[lang].format(size=held.size, few=3 * held.size + 3, colluders=held.colluders, leaving=leaving)


def _task_line(task: TaskTerms, lang: Language) -> str:
    return _TASK_LINE[lang].format(
        purpose=PURPOSE[lang][task.purpose],
        task=task.task,
        dataset=task.dataset,
        rows=(lang == "zh" and task.row_meaning_zh) or task.row_meaning,
        unit=UNIT[lang][task.unit],
        max_units=task.max_units,
        max_rows=task.max_rows_per_unit,
        personal=PERSONAL[lang][task.personal_data],
    )


def _day(time: str, lang: Language) -> str:
    """A time as people of the chamber's country write it, to the second where it is no whole minute."""
    at = moment(time).astimezone(_BEIJING)
    clock = f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
    if lang == "zh":
        return f"北京时间 {at.year}年{at.month}月{at.day}日 {clock} "
    return f"{at:%Y-%m-%d} {clock} (UTC+8)"


def _span(seconds: int, lang: Language) -> str:
    """A span of time in days, hours, minutes and seconds, exactly."""
    parts: list[str] = []
    left = seconds
    for length, chinese, english in _SPANS:
        n, left = divmod(left, length)
        if n or (length == 1 and not parts):
            parts.append(f"{n} {chinese}" if lang == "zh" else f"{n} {english}{'' if n == 1 else 's'}")
    return " ".join(parts)


def _rho(nano: int) -> str:
    """Nano-rho as rho, exactly."""
    return f"{Decimal(nano).scaleb(-9).normalize():f}"


def _list(words: list[str], lang: Language) -> str:
    return ("、" if lang == "zh" else ", ").join(words)
