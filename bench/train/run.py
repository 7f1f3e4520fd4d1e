#!/usr/bin/env python3
"""Times steps of training of gradus beside PyTorch, JAX, burn and candle, in one run, and writes the tables.

The libraries take turns, each in a process of its own, round after round; the median of the rounds counts. Without --venv a
virtual environment is made in the ignored folder `bench/train/.venv`, with torch, jax and numpy from PyPI (about 6 GB).

    just bench-train                         # everything, tables to the standard output
    just bench-train --write                 # the same into bench/RESULTS.md
    just bench-train --cases a b --libs gradus torch-eager jax --rounds 5
    just bench-train --quick                 # one round, without compile and the Rust peers
    just bench-train --cases --kernels "mish with derivative" softmax    # no steps, two kernels
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CASES = ["a", "b", "c", "d", "e", "deep-mish", "chain"]
LIBS = ["gradus", "torch-eager", "torch-compile", "jax", "burn", "candle"]
NAMES = {"gradus": "gradus", "torch-eager": "PyTorch", "torch-compile": "PyTorch compiled", "jax": "JAX",
         "burn": "burn (flex)", "candle": "candle"}
# What the Rust libraries are run on.
RUST_CASES = ["a", "b", "d"]
LIMIT = 900
BEGIN, END = "<!-- bench-train: begin -->", "<!-- bench-train: end -->"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=CASES, metavar="CASE", help=" ".join(CASES) + "; none if none is named")
    parser.add_argument("--libs", nargs="+", choices=LIBS, default=LIBS, metavar="LIB", help=" ".join(LIBS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one round of gradus, torch-eager and jax")
    parser.add_argument("--venv", default=os.environ.get("GRADUS_BENCH_VENV"), metavar="PATH",
                        help="an environment with torch, jax and numpy (or GRADUS_BENCH_VENV)")
    parser.add_argument("--kernels", nargs="*", metavar="NAME", help="element-wise kernels beside PyTorch's, too: those named, or all")
    parser.add_argument("--no-agree", action="store_true", help="do not compare losses with those of PyTorch")
    parser.add_argument("--no-build", action="store_true", help="use what has been built before")
    parser.add_argument("--write", action="store_true", help="write the tables into bench/RESULTS.md")
    parser.add_argument("--raw", metavar="FILE", help="write every JSON line to this file")
    parser.add_argument("--tables", nargs="+", metavar="FILE", help="run nothing: tables from files that --raw wrote")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.libs = 1, [l for l in given.libs if l in ("gradus", "torch-eager", "jax")]
    return given


def say(text):
    print(text, file=sys.stderr, flush=True)


def environment(given):
    """The Python of an environment with the libraries; made if there is none."""
    folder = given.venv or os.path.join(HERE, ".venv")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        if given.venv:
            raise SystemExit(f"there is no {python}")
        say(f"making {folder}: torch, jax and numpy from PyPI")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "jax", "numpy"], check=True)
    return python


def target(*parts):
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), *parts)


def build(given):
    """The two programs; both in release mode, with default target flags."""
    rust = any(lib in given.libs for lib in ("burn", "candle"))
    peers = target("peers")
    if not given.no_build:
        subprocess.run(["cargo", "build", "--release", "-p", "gradus-cli"], cwd=ROOT, check=True)
        if rust:
            manifest = os.path.join(HERE, "rust-peers", "Cargo.toml")
            command = ["cargo", "build", "--release", "--manifest-path", manifest, "--target-dir", peers]
            if subprocess.run(command).returncode != 0:
                say("the Rust libraries do not build here: they are left out")
                given.libs = [lib for lib in given.libs if lib not in ("burn", "candle")]
    return target("release", "gradus"), os.path.join(peers, "release", "gradus-bench-rust-peers")


class Runner:
    def __init__(self, given):
        self.given = given
        self.python = environment(given)
        self.gradus, self.peers = build(given)
        threads = str(given.threads)
        self.environ = dict(os.environ, BENCH_THREADS=threads, GRADUS_THREADS=threads, RAYON_NUM_THREADS=threads,
                            OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads,
                            CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="3")
        self.raw = []

    def pin(self):
        # XLA takes every processor that it may use: all libraries get as many as there are threads.
        if hasattr(os, "sched_setaffinity"):
            processors = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, processors[:self.given.threads])

    def lines(self, command):
        """The JSON lines that a command prints; none if it fails or takes too long."""
        try:
            done = subprocess.run(command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=LIMIT, preexec_fn=self.pin)
        except subprocess.TimeoutExpired:
            say(f"  gave up after {LIMIT} s: {' '.join(command)}")
            return []
        except OSError as error:
            say(f"  cannot run {command[0]}: {error.strerror}")
            return []
        if done.returncode != 0:
            say(f"  failed: {' '.join(command)}\n{done.stderr[-2000:]}")
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.raw += found
        return found

    def script(self, name, *rest):
        return [self.python, os.path.join(HERE, "peers", name), *rest]

    def run(self, lib, case):
        if lib == "gradus":
            command = [self.gradus, "bench", "train", "--case", case, "--threads", str(self.given.threads), "--json"]
        elif lib == "jax":
            command = self.script("jax_steps.py", case)
        elif lib.startswith("torch"):
            command = self.script("torch_steps.py", lib.removeprefix("torch-"), case)
        else:
            command = [self.peers, lib, case]
        found = self.lines(command)
        return found[0] if found else None


def applies(lib, case):
    if lib in ("burn", "candle"):
        return case in RUST_CASES
    return not (lib == "torch-compile" and case == "chain")


def measure(runner, given):
    """Every case in every library, and the floor of PyTorch, round after round."""
    for case in given.cases:
        for round_number in range(given.rounds):
            # Everybody goes first once.
            order = given.libs[round_number % len(given.libs):] + given.libs[:round_number % len(given.libs)]
            for lib in (lib for lib in order if applies(lib, case)):
                line = runner.run(lib, case)
                if line:
                    say(f"{case:>9} round {round_number + 1}  {lib:<14} {line['ms']:.4f} ms")
            if case != "chain":
                runner.lines(runner.script("torch_steps.py", "floor", case))


def sorted_lines(lines, given):
    """For each case and library its lines, and for each case the floors of PyTorch."""
    known = {"burn-flex": "burn"}
    found = {case: {lib: [] for lib in given.libs} for case in given.cases}
    floors = {case: [] for case in given.cases}
    for l in (l for l in lines if l.get("case") in found):
        lib = known.get(l.get("lib"), l.get("lib"))
        if lib == "torch-floor":
            floors[l["case"]].append(l["floor_ms"])
        elif lib in given.libs and "ms" in l:
            found[l["case"]][lib].append(l)
    return found, floors


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def number(x, digits=4):
    if x is None:
        return "–"
    if x >= 1000:
        return f"{x:,.0f}"
    return f"{x:.{max(0, digits - len(str(int(x))))}f}"


def times_table(found, floors, given):
    libs = [lib for lib in given.libs if lib != "gradus"]
    head = ["case", "gradus", "floor, ours", "floor, PyTorch", "to the floor"] + [NAMES[l] for l in libs]
    rows = [head + ["to the best peer"], ["---"] * (len(head) + 1)]
    for case in given.cases:
        ms = {lib: median(l["ms"] for l in found[case][lib]) for lib in given.libs}
        ours = median(l.get("floor_ms") for l in found[case].get("gradus", []))
        theirs = median(floors[case])
        floor = min((f for f in (ours, theirs) if f), default=None)
        best = min((ms[l] for l in libs if ms[l]), default=None)
        own = ms.get("gradus")
        row = [case, number(own), number(ours), number(theirs), f"{own / floor:.2f}" if own and floor else "–"]
        row += [number(ms[l]) for l in libs] + [f"{own / best:.2f}" if own and best else "–"]
        rows.append(row)
    return table(rows)


def memory_table(found, given):
    rows = [["case"] + [NAMES[l] for l in given.libs], ["---"] * (len(given.libs) + 1)]
    for case in (c for c in given.cases if c != "chain"):
        row = [case]
        for lib in given.libs:
            peak = median(l.get("peak_rss_mb") for l in found[case][lib])
            more = median(l["peak_rss_mb"] - l["idle_rss_mb"] for l in found[case][lib] if l.get("idle_rss_mb"))
            row.append("–" if peak is None else f"{number(peak)} ({number(more)})")
        rows.append(row)
    return table(rows)


def agree(runner, given):
    cases = [c for c in given.cases if c != "chain"]
    command = [runner.python, os.path.join(HERE, "agree.py"), runner.gradus, *cases, "--threads", str(given.threads)]
    if cases and "gradus" in given.libs and not given.no_agree:
        # One case after the other, each with its own limit.
        for case in cases:
            say(f"{case:>9} losses beside PyTorch's")
            runner.lines(command[:3] + [case] + command[-2:])
            if case == "e":
                # At the case's rate two runs in f32 part by more than 1e-4 within three steps, PyTorch's from its own in
                # double precision too: at a small one what is compared is the step, not the growth of rounding.
                runner.lines(command[:3] + [case, "--rate", "1e-5"] + command[-2:])


def agreement_table(lines):
    rows = [["case", "rate", "steps", "first loss", "last loss, PyTorch", "last loss, gradus", "largest relative difference"], ["---"] * 7]
    for l in (l for l in lines if "worst_relative_difference" in l):
        rows.append([l["case"], f"{l['rate']:g}", str(l["steps"]), f"{l['first_loss']:.6f}", f"{l['last_loss']:.6f}",
                     f"{l['last_loss_gradus']:.6f}", f"{l['worst_relative_difference']:.1e}"])
    return table(rows)


KERNEL_LIBS = ["gradus", "torch-eager", "torch-compile"]


def kernels(runner, given):
    """Each library once a round."""
    for round_number in range(given.rounds):
        for lib in KERNEL_LIBS:
            say(f"kernels   round {round_number + 1}  {lib}")
            if lib == "gradus":
                command = [runner.gradus, "bench", "kernels", "--threads", str(given.threads), "--json"]
                # Its filter takes one name; all kernels in one process otherwise.
                for name in given.kernels or [None]:
                    runner.lines(command + ([name, "--exact"] if name else []))
            else:
                runner.lines(runner.script("torch_kernels.py", lib.removeprefix("torch-"), *given.kernels))


def kernels_table(lines):
    """Nanoseconds an element, the median of the rounds."""
    found = {}
    for l in (l for l in lines if "kernel" in l):
        decade = len(str(l["elements"] * 100 // 99)) - 1  # rows do not divide every size
        found.setdefault((l["kernel"], decade), {}).setdefault(l.get("lib", "gradus"), []).append(l)
    rows = [["kernel", "elements", "gradus", "share of the limit", "PyTorch", "PyTorch compiled", "to the best"], ["---"] * 7]
    for (kernel, decade), runs in found.items():
        if "gradus" in runs and len(runs) > 1:
            ns = {lib: median(l["ns_per_element"] for l in runs.get(lib, [])) for lib in KERNEL_LIBS}
            best = min(v for lib, v in ns.items() if v and lib != "gradus")
            share = median(l["share_of_peak"] for l in runs["gradus"])
            rows.append([kernel, f"1e{decade}", f"{ns['gradus']:.3f}", f"{100 * share:.0f} %",
                         *(f"{ns[l]:.3f}" if ns[l] else "–" for l in KERNEL_LIBS[1:]), f"{ns['gradus'] / best:.2f}"])
    return table(rows)


def table(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def versions(runner):
    code = "import torch, jax; print(f'torch {torch.__version__}, jax {jax.__version__}')"
    done = subprocess.run([runner.python, "-c", code], env=runner.environ, stdout=subprocess.PIPE, text=True)
    return f"{time.strftime('%Y-%m-%d')}, {done.stdout.strip()}"


def report(given, lines):
    found, floors = sorted_lines(lines, given)
    software = next((l["versions"] for l in lines if "versions" in l), "")
    most = max((len(runs) for libs in found.values() for runs in libs.values()), default=1)
    rounds = "one round" if most == 1 else f"medians of {most} rounds"
    parts = [
        f"`just bench-train`, {software}, f32, {given.threads} threads, {rounds} in which the libraries took turns; milliseconds a "
        "step (the chain: a thousand operations and their gradient). \"To the floor\": over the lower of the two times for the "
        "step's matrix products and convolutions alone.",
        times_table(found, floors, given),
        "Most resident memory during a step, MiB, and in brackets how much that is above what was resident with parameters and "
        "batches made and no step run:",
        memory_table(found, given),
    ]
    if any("worst_relative_difference" in l for l in lines):
        parts += ["Losses of steps from the same parameters and batches (`bench/train/agree.py`), f32, aim 1e-4:",
                  agreement_table(lines)]
    if any("kernel" in l for l in lines):
        parts += ["Element-wise kernels (`gradus bench kernels`), nanoseconds an element of whole calls, one after another on the same "
                  "operands. The limit is the bandwidth measured for what the operands and results fit in, memory or the largest cache, or "
                  "half the operations of a large matrix product a second (a multiplication and an addition are one instruction there), "
                  "whichever binds, by the operations that the op table counts:",
                  kernels_table(lines)]
    return "\n\n".join(parts)


def write(text):
    path = os.path.join(ROOT, "bench", "RESULTS.md")
    with open(path) as file:
        old = file.read()
    new = f"{BEGIN}\n{text}\n{END}"
    if BEGIN in old and END in old:
        before, rest = old.split(BEGIN, 1)
        old = before + new + rest.split(END, 1)[1]
    else:
        old = old.rstrip("\n") + f"\n\n## Training steps beside other libraries\n\n{new}\n"
    with open(path, "w") as file:
        file.write(old)
    say(f"written into {path}")


def main():
    given = arguments()
    lines = []
    for path in given.tables or []:
        with open(path) as file:
            lines += [json.loads(line) for line in file]
    if not given.tables:
        runner = Runner(given)
        runner.raw.append(dict(versions=versions(runner)))
        measure(runner, given)
        agree(runner, given)
        if given.kernels is not None:
            kernels(runner, given)
        lines = runner.raw
    if given.raw:
        with open(given.raw, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    text = report(given, lines)
    if given.write:
        write(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
