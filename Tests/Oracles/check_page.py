"""Opens a report in headless Chromium, works it as a person would, and compares what it shows with the data inside it.

    nano-reasoner report RUN --out page.html && python3 check_page.py page.html

Says whether the page loads without errors and without network, draws a line for every metric, steps through steps and groups
with the keyboard, and whether each filter shows exactly the completions it should. Needs `chromium` on PATH and nothing else.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

PROBE = r"""
<script>
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 30));
  const key = (name, target = document.body) => target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const choose = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event($(id).type === "search" ? "input" : "change")); };
  const seen = { lines: document.querySelectorAll("figure svg path.line").length, figures: document.querySelectorAll("figure").length };
  const figure = document.querySelector("figure svg");
  const box = figure.getBoundingClientRect();
  figure.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 50, bubbles: true }));
  seen.tip = document.querySelector(".tip:not([hidden])")?.textContent;
  seen.crosses = document.querySelectorAll(".cross").length;
  figure.focus(); key("ArrowRight", figure);
  seen.keyed = document.querySelector(".tip:not([hidden])")?.textContent;
  const before = document.querySelector("path.line").getAttribute("d");
  $("smoothing").value = 0; $("smoothing").dispatchEvent(new Event("input"));
  seen.smoothingChanges = before !== document.querySelector("path.line").getAttribute("d");
  choose("axis", "elapsed"); await wait(); choose("axis", "step");
  key("2"); await wait();
  seen.samplesShown = !$("samples").hidden;
  seen.filters = {};
  $("all-steps").checked = true; $("all-steps").dispatchEvent(new Event("change"));
  for (const name of ["all", "right", "wrong", "truncated"]) {
    choose("outcome", name);
    // Cards of every listed group, counted by going through them with the keyboard.
    let cards = 0;
    if (listed.length) { state.group = listed[0].position; drawSamples(); }
    for (let index = 0; index < listed.length; index++) {
      cards += document.querySelectorAll(".card").length;
      key("j");
    }
    seen.filters[name] = { groups: listed.length, cards };
  }
  choose("outcome", "all");
  choose("search", SEARCH); seen.found = listed.length;
  seen.marks = document.querySelectorAll("mark").length;
  choose("search", "");
  $("all-steps").checked = false; $("all-steps").dispatchEvent(new Event("change"));
  const step = state.step; key("ArrowLeft"); seen.stepped = state.step !== step;
  seen.colours = {};
  for (const name of ["advantage", "ratio", "entropy", "logprob"]) {
    choose("colour", name);
    seen.colours[name] = [...document.querySelectorAll(".text span")].filter((span) => span.style.background).length;
  }
  key("3"); await wait();
  seen.settings = document.querySelectorAll("#settings tr").length;
  key("t"); seen.theme = document.documentElement.dataset.theme;
  seen.errors = problems;
  seen.requests = performance.getEntriesByType("resource").length;
  seen.ready = document.body.dataset.ready;
  document.body.innerHTML = "<pre id=seen></pre>"; document.getElementById("seen").textContent = "SEEN" + JSON.stringify(seen) + "NEES";
});
</script>
"""


def main(path):
    page = open(path, encoding="utf-8").read()
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S).group(1))
    runs = data["runs"]
    with_samples = [run for run in runs if run["samples"]]
    samples = with_samples[0]["samples"] if with_samples else []
    word = samples[0]["question"].split()[0] if samples else "x"
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "page.html")
        with open(copy, "w", encoding="utf-8") as file:
            file.write(page.replace("</body>", PROBE.replace("SEARCH", json.dumps(word)) + "</body>"))
        output = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900", "--virtual-time-budget=20000",
             "--dump-dom", "file://" + copy], capture_output=True, text=True, timeout=120).stdout
    found = re.search("SEEN(.*)NEES", output, re.S)
    if not found:
        print("the page did not come to its end:", output[-2000:])
        return 1
    import html
    seen = json.loads(html.unescape(found.group(1)))
    bad = 0

    def expect(what, found, wanted):
        nonlocal bad
        good = wanted(found) if callable(wanted) else found == wanted
        bad += not good
        print(("ok   " if good else "BAD  ") + f"{what}: {found}" + ("" if good or callable(wanted) else f", expected {wanted}"))

    skipped = {"stage", "step", "time", "elapsed", "nonfinite", "proof"}
    lines = stages = 0
    for run in runs:
        keys = {key for record in run["metrics"] for key, value in record.items() if key not in skipped and isinstance(value, (int, float))}
        lines += len([key for key in keys if not key.startswith("seconds/")])
        stages += len([key for key in keys if key.startswith("seconds/") and key != "seconds/step"])
    expect("script errors", seen["errors"], [])
    expect("ready", seen["ready"], "1")
    expect("resources fetched", seen["requests"], 0)
    expect("lines drawn", seen["lines"], lines + stages)
    expect("hover shows", seen["tip"], lambda tip: tip and tip.startswith("step "))
    expect("crosshairs of all charts", seen["crosses"], lambda count: count > 1)
    expect("arrow key shows", seen["keyed"], lambda tip: tip and tip.startswith("step "))
    expect("smoothing redraws", seen["smoothingChanges"], lambda changes: changes or len(runs[0]["metrics"]) < 2)
    if samples:
        groups, last = [], None
        for sample in samples:
            name = (sample["step"], sample["example"])
            if name != last or sample["sample"] <= groups[-1][-1]["sample"]:
                groups.append([])
            groups[-1].append(sample)
            last = name
        tests = {
            "all": lambda s: True, "right": lambda s: s["correct"], "truncated": lambda s: s["truncated"],
            "wrong": lambda s: not s["correct"] and not s["truncated"]}
        for name, test in tests.items():
            kept = [[s for s in group if test(s)] for group in groups]
            kept = [group for group in kept if group]
            expect(f"filter {name}", seen["filters"][name], {"groups": len(kept), "cards": sum(map(len, kept))})
        matches = [g for g in groups if any(word.lower() in (s["question"] + "\0" + s["completion"]).lower() for s in g)]
        expect(f"search {word!r}", seen["found"], len(matches))
        expect("arrow key changes the step", seen["stepped"], len({s["step"] for s in samples}) > 1)
        if "tokens" in samples[0]:
            expect("coloured tokens", seen["colours"], lambda c: c["entropy"] > 0 and c["ratio"] > 0 and c["logprob"] > 0)
    expect("rows of settings", seen["settings"], lambda rows: rows > 1)
    print("FAILED" if bad else "all as it should be")
    return 1 if bad else 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
