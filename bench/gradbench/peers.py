#!/usr/bin/env python3
"""Times the derivatives of the evals beside other tools on the same inputs, all in one run.

usage: peers.py [--tool PATH] [--evals gmm,lse,...] [--seconds S] [--rounds N] [--threads N]
                [--best] [--json FILE]

The others: PyTorch and JAX (evals that are natural as array programs), ADOL-C and hand-written C++ (peers/, compiled
with g++ -std=c++17 -O3 -march=native).  What is not installed is left out and named.  Everything is in double
precision on one thread, pinned to one processor, unless --threads says otherwise; the tool is also timed with two
threads where it uses them.  Rounds go through all tools in turn; the median of the rounds' medians is shown (with --best
the fastest run of each, for a busy machine).  Every result is compared with the tool's to 1e-8 relative before it is timed.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Evals whose programs are spread over threads.
THREADED = ("gmm", "lse", "llsq")
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def threads_first():
    """The thread count has to be in the environment before the packages are loaded."""
    n = "1"
    if "--threads" in sys.argv:
        n = sys.argv[sys.argv.index("--threads") + 1]
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = n
    if n == "1":
        os.environ["XLA_FLAGS"] = (os.environ.get("XLA_FLAGS", "") +
                                   " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    return int(n)


def triangle(d):
    """Rows and columns of the strictly lower triangle, column by column."""
    pairs = [(r, c) for c in range(d) for r in range(c + 1, d)]
    return [r for r, _ in pairs], [c for _, c in pairs]


class Torch:
    name = "PyTorch"

    def __init__(self, threads):
        import torch
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float64)
        self.torch = torch

    def array(self, data):
        return self.torch.tensor(data, dtype=self.torch.float64)

    def gradient(self, f, args):
        args = [a.clone().requires_grad_(True) for a in args]

        def run():
            return self.torch.autograd.grad(f(*args), args)
        return run

    def ode(self, steps):
        torch = self.torch

        def f(x):
            def slope(y):
                return x * torch.cat([one, y[:-1]])
            one, y, h = torch.ones(1), torch.zeros_like(x), 2.0 / steps
            for _ in range(steps):
                k1 = slope(y)
                k2 = slope(y + h / 2 * k1)
                k3 = slope(y + h / 2 * k2)
                k4 = slope(y + h * k3)
                y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            return y[-1]
        return f

    def lse(self, x):
        return self.torch.logsumexp(x, 0)

    def llsq(self, n):
        torch = self.torch

        def f(x):
            t = torch.linspace(-1, 1, n)
            powers = torch.cat([torch.ones(n, 1), t[:, None].expand(n, len(x) - 1)], 1).cumprod(1)
            return 0.5 * ((torch.sign(t) - powers @ x) ** 2).sum()
        return f

    def gmm(self, x, d, k):
        torch = self.torch
        rows, cols = (torch.tensor(v, dtype=torch.long) for v in triangle(d))

        def f(alpha, mu, q, l):
            big = torch.diag_embed(q.exp()).index_put((torch.arange(k)[:, None], rows[None], cols[None]), l)
            image = (x[None] - mu[:, None]) @ big.transpose(1, 2)
            sums = q.sum(1)
            beta = (alpha + sums)[:, None] - 0.5 * (image ** 2).sum(2)
            likelihood = torch.logsumexp(beta, 0).sum() - len(x) * torch.logsumexp(alpha, 0)
            return likelihood - 0.5 * ((2 * q).exp().sum() + (l ** 2).sum())
        return f

    def kmeans(self, points):
        torch = self.torch

        def cost(c):
            return ((points ** 2).sum(1)[:, None] - 2 * points @ c.T + (c ** 2).sum(1)).min(1).values.sum()

        def run_with(c):
            ones = torch.ones_like(c)

            def run():
                gradient, curvature = torch.autograd.functional.jvp(
                    lambda c: torch.autograd.grad(cost(c), c, create_graph=True)[0], c.requires_grad_(True), ones)
                return (gradient / curvature,)
            return run
        return run_with

    def lstm(self, state, sequence):
        torch = self.torch

        def f(main, extra):
            layers, b = len(main) // 2, sequence.shape[1]
            gates = main.reshape(layers, 2, 4, b)
            hs, cs = list(state[0::2]), list(state[1::2])
            total = 0.0
            for t in range(len(sequence) - 1):
                u = sequence[t] * extra[0]
                for i in range(layers):
                    (wf, wi, wo, wc), (bf, bi, bo, bc) = gates[i]
                    h = hs[i]
                    cs[i] = cs[i] * torch.sigmoid(u * wf + bf) + torch.sigmoid(h * wi + bi) * torch.tanh(h * wc + bc)
                    u = torch.sigmoid(u * wo + bo) * torch.tanh(cs[i])
                    hs[i] = u
                z = u * extra[1] + extra[2]
                total = total + (sequence[t + 1] * (z - (2 + z.exp().sum()).log())).sum()
            return -total / (b * (len(sequence) - 1))
        return f


class Jax:
    name = "JAX"

    def __init__(self, threads):
        import jax
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        self.jax, self.np = jax, jax.numpy

    def array(self, data):
        return self.np.array(data, dtype=self.np.float64)

    def gradient(self, f, args):
        compiled = self.jax.jit(self.jax.grad(f, argnums=tuple(range(len(args)))))
        return lambda: self.jax.block_until_ready(compiled(*args))

    def lse(self, x):
        return self.jax.nn.logsumexp(x)

    def llsq(self, n):
        np = self.np

        def f(x):
            t = np.linspace(-1, 1, n)
            powers = np.concatenate([np.ones((n, 1)), np.broadcast_to(t[:, None], (n, len(x) - 1))], 1)
            return 0.5 * ((np.sign(t) - np.cumprod(powers, 1) @ x) ** 2).sum()
        return f

    def ode(self, steps):
        jax, np = self.jax, self.np

        def f(x):
            def slope(y):
                return x * np.concatenate([np.ones(1), y[:-1]])

            def step(y, _):
                h = 2.0 / steps
                k1 = slope(y)
                k2 = slope(y + h / 2 * k1)
                k3 = slope(y + h / 2 * k2)
                k4 = slope(y + h * k3)
                return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None
            return jax.lax.scan(step, np.zeros_like(x), None, length=steps)[0][-1]
        return f

    def gmm(self, x, d, k):
        np, lse = self.np, self.jax.nn.logsumexp
        rows, cols = (np.array(v, dtype=int) for v in triangle(d))

        def f(alpha, mu, q, l):
            big = self.jax.vmap(np.diag)(np.exp(q)).at[:, rows, cols].set(l)
            image = np.einsum("kij,knj->kni", big, x[None] - mu[:, None])
            sums = q.sum(1)
            beta = (alpha + sums)[:, None] - 0.5 * (image ** 2).sum(2)
            likelihood = lse(beta, axis=0).sum() - len(x) * lse(alpha)
            return likelihood - 0.5 * (np.exp(2 * q).sum() + (l ** 2).sum())
        return f

    def kmeans(self, points):
        jax, np = self.jax, self.np

        def cost(c):
            return ((points ** 2).sum(1)[:, None] - 2 * points @ c.T + (c ** 2).sum(1)).min(1).sum()

        def direction(c):
            gradient, curvature = jax.jvp(jax.grad(cost), (c,), (np.ones_like(c),))
            return gradient / curvature

        def run_with(c):
            compiled = jax.jit(direction)
            return lambda: (jax.block_until_ready(compiled(c)),)
        return run_with

    def lstm(self, state, sequence):
        jax, np = self.jax, self.np

        def f(main, extra):
            layers, b = len(main) // 2, sequence.shape[1]
            gates = main.reshape(layers, 2, 4, b)

            def step(carry, pair):
                (hs, cs), (now, following) = carry, pair
                u, new_h, new_c = now * extra[0], [], []
                for i in range(layers):
                    (wf, wi, wo, wc), (bf, bi, bo, bc) = gates[i]
                    h, sigmoid = hs[i], jax.nn.sigmoid
                    c = cs[i] * sigmoid(u * wf + bf) + sigmoid(h * wi + bi) * np.tanh(h * wc + bc)
                    u = sigmoid(u * wo + bo) * np.tanh(c)
                    new_h.append(u)
                    new_c.append(c)
                z = u * extra[1] + extra[2]
                gain = (following * (z - np.log(2 + np.exp(z).sum()))).sum()
                return (np.stack(new_h), np.stack(new_c)), gain
            _, gains = jax.lax.scan(step, (state[0::2], state[1::2]), (sequence[:-1], sequence[1:]))
            return -gains.sum() / (b * (len(sequence) - 1))
        return f


def prepared(peer, module, data):
    """A closure that computes the derivative, as a list of arrays; none where that is no array program."""
    if module not in ("lse", "llsq", "gmm", "kmeans", "lstm", "ode"):
        return None
    array = peer.array
    if module == "lse":
        return peer.gradient(peer.lse, [array(data["x"])])
    if module == "llsq":
        return peer.gradient(peer.llsq(data["n"]), [array(data["x"])])
    if module == "gmm":
        f = peer.gmm(array(data["x"]), data["d"], data["k"])
        return peer.gradient(f, [array(data[name]) for name in ("alpha", "mu", "q", "l")])
    if module == "kmeans":
        return peer.kmeans(array(data["points"]))(array(data["centroids"]))
    if module == "ode":
        return peer.gradient(peer.ode(data["s"]), [array(data["x"])])
    f = peer.lstm(array(data["state"]), array(data["sequence"]))
    return peer.gradient(f, [array(data["main_params"]), array(data["extra_params"])])


def flat(value, out):
    if isinstance(value, dict):
        for name in ("vals",) if "vals" in value else ("alpha", "mu", "q", "l"):
            flat(value[name], out)
    elif isinstance(value, (list, tuple)):
        for v in value:
            flat(v, out)
    elif hasattr(value, "tolist"):
        flat(value.tolist(), out)
    else:
        out.append(value)
    return out


def numbers(module, data):
    """Sizes and numbers of an input in the order in which peers/ reads them; none where it has no such eval."""
    sizes, fields = {
        "lse": (lambda d: [len(d["x"])], ["x"]),
        "llsq": (lambda d: [len(d["x"]), d["n"]], ["x"]),
        "det": (lambda d: [d["ell"]], ["A"]),
        "ode": (lambda d: [len(d["x"]), d["s"]], ["x"]),
        "kmeans": (lambda d: [len(d["points"]), len(d["centroids"]), len(d["points"][0])], ["points", "centroids"]),
        "gmm": (lambda d: [d["d"], d["k"], d["n"], d["m"]], ["gamma", "x", "alpha", "mu", "q", "l"]),
        "lstm": (lambda d: [len(d["main_params"]) // 2, len(d["state"][0]), len(d["sequence"])],
                 ["main_params", "extra_params", "state", "sequence"]),
        "ba": (lambda d: [d["n"], d["m"], d["p"]], ["cam", "x", "w", "feat"]),
    }.get(module, (None, None))
    if sizes is None:
        return None
    sizes, values = sizes(data), flat([data[f] for f in fields], [])
    return "%d %s\n%d %s\n" % (len(sizes), " ".join(map(str, sizes)), len(values), " ".join(map(repr, values)))


class Native:
    """A program of peers/, compiled into a folder that goes away with it."""

    def __init__(self, name, source, libraries, best):
        self.best = best
        self.name, self.folder = name, tempfile.TemporaryDirectory()
        self.program = os.path.join(self.folder.name, source)
        command = ["g++", "-std=c++17", "-O3", "-march=native", os.path.join(HERE, "peers", source + ".cpp"),
                   "-o", self.program] + libraries
        if not shutil.which("g++") or subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
            raise ImportError("it does not compile here")

    def run(self, module, kind, seconds, text):
        """Milliseconds and the result, or none where the program has no such function."""
        done = subprocess.run([self.program, module, kind, str(seconds)], input=text, capture_output=True, text=True)
        if done.returncode != 0:
            return None
        lines = done.stdout.split()
        return float(lines[1 if self.best else 0]), [float(v) for v in lines[2:]]


def median_ms(run, seconds, best):
    run()
    times = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return (min if best else statistics.median)(times) * 1e3


def agree(label, name, want, got):
    error = max(abs(a - b) for a, b in zip(want, got)) / (max(map(abs, want)) or 1.0)
    if len(want) != len(got) or not error < 1e-8:
        raise SystemExit("%s of %s differs by %g: nothing to compare" % (label, name, error))


def contenders(bench, opt, peers, natives, case):
    """Of each column, a function of seconds that gives milliseconds."""
    label, module, primal, function, data = case
    columns = {}

    def of_tool(function, threads):
        tool = bench.Tool([opt.tool], opt.best, threads)
        if threads > 1 and PROCESSORS:
            os.sched_setaffinity(tool.proc.pid, PROCESSORS)
        return lambda seconds: tool.median_ms(module, function, data, 3, seconds)

    tool = bench.Tool([opt.tool], threads=opt.threads)
    answer = tool.ask(kind="evaluate", module=module, function=function, input=dict(data, min_runs=1, min_seconds=0))
    want = flat(answer["output"], [])
    tool.close()
    if primal:
        columns["primal"] = of_tool(primal, opt.threads)
    columns["Gradus"] = of_tool(function, opt.threads)
    if module in THREADED and opt.threads == 1:
        columns["2 threads"] = of_tool(function, 2)
    text = numbers(module, data)
    for native in natives if text else []:
        for kind, column in (("primal", "C++ primal"), ("derivative", native.name)):
            if kind == "primal" and native.name != "manual":
                continue
            first = native.run(module, kind, 0, text)
            if first is None:
                continue
            if kind == "derivative":
                agree(label, native.name, want, first[1])
            columns[column] = lambda seconds, n=native, k=kind: n.run(module, k, seconds, text)[0]
    for peer in peers:
        run = prepared(peer, module, data)
        if run:
            agree(label, peer.name, want, flat(run(), []))
            columns[peer.name] = lambda seconds, run=run: median_ms(run, seconds, opt.best)
    return columns


def main():
    threads = threads_first()
    sys.path.insert(0, HERE)
    import bench
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument("--tool", default=os.path.join(HERE, "..", "..", "target", "release", "gradus-gradbench"))
    ap.add_argument("--evals", default=None)
    ap.add_argument("--seconds", type=float, default=0.3, help="of each tool, eval and round")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--best", action="store_true", help="the fastest run, not the median: for a busy machine")
    ap.add_argument("--json", default=None)
    opt = ap.parse_args()
    peers, natives = [], []
    for kind, into in ((lambda: Native("manual", "manual", [], opt.best), natives),
                       (lambda: Native("ADOL-C", "adolc", ["-ladolc"], opt.best), natives),
                       (lambda: Torch(threads), peers), (lambda: Jax(threads), peers)):
        try:
            into.append(kind())
        except ImportError as missing:
            print("left out: %s" % missing)
    names = ["C++ primal", "primal", "Gradus", "2 threads", "manual", "ADOL-C", "PyTorch", "JAX"]
    print("%-26s %s" % ("ms", " ".join("%10s" % n for n in names)))
    results = []
    for case in bench.cases():
        if opt.evals and case[1] not in opt.evals.split(","):
            continue
        columns = contenders(bench, opt, peers, natives, case)
        rounds = [{name: run(opt.seconds) for name, run in columns.items()} for _ in range(opt.rounds)]
        pick = min if opt.best else statistics.median
        row = {name: pick(r[name] for r in rounds) for name in columns}
        results.append(dict(row, eval=case[0]))
        shown = ("%10.4f" % row[n] if n in row else " " * 10 for n in names)
        print("%-26s %s" % (case[0], " ".join(shown)), flush=True)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({"threads": threads, "rows": results}, f, indent=1)


if __name__ == "__main__":
    sys.exit(main())
