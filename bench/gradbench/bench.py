#!/usr/bin/env python3
"""Times the GradBench tool on the sizes of the results table.

usage: bench.py [--tool PATH] [--evals gmm,ba] [--seconds S] [--json FILE] [--min-runs N] [--best] [--threads N]

Inputs are random with fixed seeds: parameters of gmm and x of gmm standard normal, everything else uniform in
[0, 1), as the suite draws them; kmeans takes the last k points as centroids; ht takes the hand of the sample
messages beside this script (tests/data).  Each function is run for --seconds; medians (with --best the
fastest runs, for a busy machine) are printed in milliseconds.  Evals that are tensor programs use --threads
threads (one unless it says otherwise), all others one.
"""
import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def uniform(rng, *shape):
    if not shape:
        return rng.random()
    return [uniform(rng, *shape[1:]) for _ in range(shape[0])]


def normal(rng, *shape):
    if not shape:
        return rng.gauss(0, 1)
    return [normal(rng, *shape[1:]) for _ in range(shape[0])]


def gmm(rng, d, k, n):
    return {"d": d, "k": k, "n": n, "m": 0, "gamma": 1.0, "x": normal(rng, n, d), "alpha": normal(rng, k),
            "mu": uniform(rng, k, d), "q": normal(rng, k, d), "l": normal(rng, k, d * (d - 1) // 2)}


def ba(rng, n, m, p):
    # The official problems' first camera, point, weight and feature.
    return {"n": n, "m": m, "p": p,
            "cam": [-0.758453, -1.109613, -0.845551, 34.556073, 39.676747, 53.881673, 419.194514, 5.864426,
                    -8.51887, 0.087812, 0.002739],
            "x": [7.203245, 0.001132, 9.123326], "w": 0.41702, "feat": [0.5, 0.7]}


def lstm(rng, layers, characters, bits=14):
    sequence = [[float(rng.random() < 0.5) for _ in range(bits)] for _ in range(characters)]
    return {"main_params": uniform(rng, 2 * layers, 4 * bits), "extra_params": uniform(rng, 3, bits),
            "state": uniform(rng, 2 * layers, bits), "sequence": sequence}


def kmeans(rng, k, n, d):
    points = uniform(rng, n, d)
    return {"points": points, "centroids": points[-k:]}


def sample(name, function):
    """The input of the first evaluation of `function` among the samples."""
    with gzip.open(os.path.join(HERE, "tests", "data", name + ".jsonl.gz"), "rt") as f:
        for line in f:
            message = json.loads(line)["message"]
            if message.get("function") == function:
                return dict(message["input"])
    raise SystemExit("no sample of %s" % name)


def cases():
    """(label, eval, primal function, derivative function, input)"""
    rng = random.Random(1)
    yield "gmm d32 k25 n1000", "gmm", "objective", "jacobian", gmm(rng, 32, 25, 1000)
    yield "gmm d10 k25 n1000", "gmm", "objective", "jacobian", gmm(rng, 10, 25, 1000)
    yield "ba2 (36455 observations)", "ba", "objective", "jacobian", ba(rng, 21, 11315, 36455)
    yield "lstm l4 c1024", "lstm", "objective", "jacobian", lstm(rng, 4, 1024)
    yield "ht hand1 small, N 100", "ht", "objective", "jacobian", sample("ht", "jacobian")
    yield "kmeans k100 n10000 d8", "kmeans", "cost", "dir", kmeans(rng, 100, 10000, 8)
    yield "lse n100000", "lse", "primal", "gradient", {"x": uniform(rng, 100000)}
    yield "llsq n1024 m128", "llsq", "primal", "gradient", {"x": uniform(rng, 128), "n": 1024}
    yield "det l8", "det", "primal", "gradient", {"A": uniform(rng, 64), "ell": 8}
    yield "ode n10000 s10", "ode", "primal", "gradient", {"x": uniform(rng, 10000), "s": 10}
    yield "particle ff", "particle", None, "ff", {"w": 0.0}
    yield "particle fr", "particle", None, "fr", {"w": 0.0}
    yield "particle rf", "particle", None, "rf", {"w": 0.0}
    yield "particle rr", "particle", None, "rr", {"w": 0.0}
    yield "saddle ff", "saddle", None, "ff", {"start": [1.0, 1.0]}
    yield "saddle fr", "saddle", None, "fr", {"start": [1.0, 1.0]}
    yield "saddle rf", "saddle", None, "rf", {"start": [1.0, 1.0]}
    yield "saddle rr", "saddle", None, "rr", {"start": [1.0, 1.0]}


class Tool:
    def __init__(self, command, best=False, threads=1):
        self.best = best
        environment = dict(os.environ, GRADUS_THREADS=str(threads))
        self.proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     env=environment)
        self.id = 0

    def ask(self, **message):
        message["id"] = self.id
        self.id += 1
        self.proc.stdin.write(json.dumps(message) + "\n")
        self.proc.stdin.flush()
        return json.loads(self.proc.stdout.readline())

    def median_ms(self, module, function, data, runs, seconds):
        data = dict(data, min_runs=runs, min_seconds=seconds)
        answer = self.ask(kind="evaluate", module=module, function=function, input=data)
        if not answer.get("success"):
            raise SystemExit("%s %s: %s" % (module, function, answer.get("error")))
        pick = min if self.best else statistics.median
        return pick(t["nanoseconds"] for t in answer["timings"]) / 1e6

    def close(self):
        self.proc.stdin.close()
        self.proc.wait()


def main():
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument("--tool", default=os.path.join(HERE, "..", "..", "target", "release", "gradus-gradbench"))
    ap.add_argument("--evals", default=None)
    ap.add_argument("--seconds", type=float, default=1.0)
    ap.add_argument("--min-runs", type=int, default=5)
    ap.add_argument("--json", default=None)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--best", action="store_true", help="the best run, not the median: for a busy machine")
    opt = ap.parse_args()
    wanted = opt.evals.split(",") if opt.evals else None
    results = []
    print("%-26s %12s %12s %8s" % ("eval", "primal ms", "derivative", "ratio"))
    for label, module, primal, derivative, data in cases():
        if wanted and module not in wanted:
            continue
        tool = Tool([opt.tool], opt.best, opt.threads)
        p = tool.median_ms(module, primal, data, opt.min_runs, opt.seconds) if primal else None
        d = tool.median_ms(module, derivative, data, opt.min_runs, opt.seconds)
        tool.close()
        results.append({"eval": label, "threads": opt.threads, "primal_ms": p, "derivative_ms": d})
        shown = ("%12.4f" % p, "%8.2f" % (d / p)) if p else (" " * 12, "")
        print("%-26s %s %12.4f %s" % (label, shown[0], d, shown[1]), flush=True)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    sys.exit(main())
