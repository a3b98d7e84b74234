"""The demo: a chamber with member companies, from the first key to the auditor's verdict."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from demo.cluster import Cluster, StepFailed
from demo.world import write

TEXT = {
    "zh": {
        "world": "生成模拟产业：{n} 家会员",
        "chamber": "商会：密钥、证书、协议、日志",
        "join": "会员加入并授权 {i}/{n}：{name}",
        "nodes": "启动 {n} 个节点",
        "order": "联合训练 {task}：{rounds} 轮，每家 ε ≤ {epsilon}",
        "kept": "{task} 的新模型没有通过发布关口（会员少、额度小时常会如此）：此前使用的继续使用",
        "serve": "各会员在本机得到结果与收据",
        "audit": "审计方镜像并核验",
        "head": "会员           任务    仅自己   共享     采用     说明",
        "better": "共享更好",
        "tie": "与仅自己不相上下",
        "worse": "共享没有帮助",
        "start": "公共起点更好，尚无共享模型",
        "few": "数据太少，无法判断",
        "spent": (
            "每家隐私额度：两项任务合计 ε {epsilon:.3f}（全年，每个单位，δ 1e-6）；离开本机：{least} 至 {most} 字节"
        ),
        "verdict": "审计结论：{word}，{size} 条，{n} 项未核验",
        "clean": "通过",
        "dirty": "不通过",
        "page": "状态页：{url}（证书由商会自签）",
        "stay": "按 Ctrl-C 结束",
        "took": "用时 {s:.0f} 秒",
        "own": "全程文件：{folder}",
    },
    "en": {
        "world": "simulated industry: {n} members",
        "chamber": "chamber: keys, certificate, agreement, log",
        "join": "members join and consent {i}/{n}: {name}",
        "nodes": "starting {n} nodes",
        "order": "training {task}: {rounds} rounds, epsilon at most {epsilon} a member",
        "kept": (
            "the new model of {task} did not pass its gate, as often with few members and a small budget: what "
            "served before serves on"
        ),
        "serve": "members get results and receipts at home",
        "audit": "an auditor mirrors and verifies",
        "head": "member         task    alone    shared   used     in words",
        "better": "sharing helped",
        "tie": "as good as alone",
        "worse": "sharing did not help",
        "start": "the public start helped; no shared model yet",
        "few": "too little to tell",
        "spent": (
            "budget of each member: epsilon {epsilon:.3f} for both tasks (this year, each unit, delta 1e-6); left "
            "its machine: {least} to {most} bytes"
        ),
        "verdict": "auditor's verdict: {word}, {size} entries, {n} not checked",
        "clean": "clean",
        "dirty": "NOT clean",
        "page": "status page: {url} (certificate made by the chamber)",
        "stay": "Ctrl-C ends",
        "took": "{s:.0f} seconds",
        "own": "all files: {folder}",
    },
}
ROUNDS, EPSILON = 25, "1"
TASKS, COMMANDS = ("demand", "risk"), ("forecast", "score")


class Story:
    """Tells what happens and keeps what the summary needs."""

    def __init__(self, folder: Path, members: int, lang: str, preset: str):
        self.folder, self.members, self.preset = folder, members, preset
        self.text, self.lang, self.began = TEXT[lang], lang, time.monotonic()

    def say(self, name: str, /, **values: Any) -> None:
        """One line with the time."""
        print(f"[{time.monotonic() - self.began:5.0f} s] " + self.text[name].format(**values), flush=True)

    def tell(self, cluster: Cluster) -> bool:
        """Every step; True if the auditor's verdict is clean."""
        self.say("world", n=self.members)
        written = write(self.folder / "world", self.members, self.preset)
        self.say("chamber")
        cluster.found(epsilon_run=EPSILON)
        homes = []
        for number, (name, data) in enumerate(written, 1):
            self.say("join", i=number, n=self.members, name=name)
            homes.append((name, cluster.join(number, name, data)))
        self.say("nodes", n=len(homes))
        for _, home in homes:
            cluster.run_node(home)
        for task in TASKS:
            self.say("order", task=task, rounds=ROUNDS, epsilon=EPSILON)
            if not cluster.order(task, "--rounds", ROUNDS, "--epsilon", EPSILON):
                self.say("kept", task=task)
        self.say("serve")
        asked = [(name, task, home, word) for name, home in homes for task, word in zip(TASKS, COMMANDS, strict=True)]
        with ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda one: cluster.json("client_node", one[3], home=one[2]), asked)
            results = {(name, task): answer for (name, task, _, _), answer in zip(asked, answers, strict=True)}
        states = [cluster.json("client_node", "status", home=home) for _, home in homes]
        self.say("audit")
        verdict = self._audit(cluster, homes[0][1])
        self._summary(cluster, results, states, verdict)
        return bool(verdict["clean"])

    def _audit(self, cluster: Cluster, home: str) -> Any:
        auditor, pins, mirror = self.folder / "auditor", self.folder / "pins.json", self.folder / "mirror"
        cluster.command("client_node", "pins", "--out", pins, home=home)
        cluster.command("auditor", "init", auditor)
        cluster.command("coordinator", "admit-auditor", auditor / "admission.json", home="chamber")
        time.sleep(1.0)  # the members cosign the newest checkpoint
        cluster.command(
            "auditor", "mirror", cluster.url, mirror, "--pins", pins, "--identity", auditor / "identity.key"
        )
        return cluster.json("auditor", "verify", mirror, "--pins", pins, ok=(0, 1))

    def _summary(self, cluster: Cluster, results: dict[tuple[str, str], Any], states: list[Any], verdict: Any) -> None:
        text = self.text
        print("\n" + text["head"])
        for (name, task), result in results.items():
            record = result["votes"]["record"]
            alone, shared, used = (
                "-" if record[k] is None else f"{record[k]:.4f}" for k in ("alone", "shared", "used")
            )
            print(f"{name:<8}\t{task:<7} {alone:<8} {shared:<8} {used:<8} {text[word_of(result)]}")
        left = [state["bytes_left"] for state in states]
        epsilon = max(account["epsilon"] for state in states for account in state["accounts"])
        skipped = sum(len(step["not_checked"]) for step in verdict["steps"])
        print(text["spent"].format(epsilon=epsilon, least=min(left), most=max(left)))
        print(
            text["verdict"].format(word=text["clean" if verdict["clean"] else "dirty"], size=verdict["size"], n=skipped)
        )
        print(
            text["page"].format(url=cluster.url),
            text["own"].format(folder=self.folder),
            text["took"].format(s=time.monotonic() - self.began),
            sep="\n",
        )


def word_of(result: Any) -> str:
    """What the node itself says of sharing; a public start is not sharing."""
    found = result["verdict"] or "few"
    return "start" if found == "better" and result["run"] is None else found


def leave_whole() -> None:
    """Whoever ends this process by a signal ends all that it started."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):  # the second is unknown to Windows
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)


def main(members: int, oneshot: bool, lang: str, folder: Path, preset: str) -> int:
    """0 if every step held."""
    leave_whole()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    story = Story(folder.resolve(), members, lang, preset)
    with Cluster(folder.resolve(), lang) as cluster:
        try:
            clean = story.tell(cluster)
            if not oneshot:
                print(story.text["stay"], flush=True)
                cluster.processes["coordinator"].wait()
        except StepFailed as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0
    return 0 if clean else 1
