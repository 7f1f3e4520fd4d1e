#!/usr/bin/env python3
"""Times the same derivatives with PyTorch and JAX, on the same inputs as bench.py, in the same run as the tool.

usage: peers.py [--tool PATH] [--evals gmm,lse,...] [--seconds S] [--threads N] [--json FILE]

Evals: lse, llsq, gmm, kmeans, lstm (those that are natural as array programs).  A package that is not installed
is left out and named.  Everything is in double precision on one thread unless --threads says otherwise (the
tool always uses one).  Each gradient is checked against the tool's to 1e-8 relative before it is timed.
"""
import argparse
import json
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EVALS = "lse llsq gmm kmeans lstm".split()


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
    """A closure that computes the derivative, as a list of arrays."""
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
    f = peer.lstm(array(data["state"]), array(data["sequence"]))
    return peer.gradient(f, [array(data["main_params"]), array(data["extra_params"])])


def flat(value, out):
    if isinstance(value, dict):
        for name in ("alpha", "mu", "q", "l"):
            flat(value[name], out)
    elif isinstance(value, (list, tuple)):
        for v in value:
            flat(v, out)
    elif hasattr(value, "tolist"):
        flat(value.tolist(), out)
    else:
        out.append(value)
    return out


def median_ms(run, seconds):
    run()
    times = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main():
    threads = threads_first()
    sys.path.insert(0, HERE)
    import bench
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument("--tool", default=os.path.join(HERE, "..", "..", "target", "release", "gradus-gradbench"))
    ap.add_argument("--evals", default=",".join(EVALS))
    ap.add_argument("--seconds", type=float, default=1.0)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--json", default=None)
    opt = ap.parse_args()
    peers = []
    for kind in (Torch, Jax):
        try:
            peers.append(kind(threads))
        except ImportError as missing:
            print("%s is left out: %s" % (kind.name, missing))
    print("%-26s %12s %s" % ("derivative, ms", "Gradus", " ".join("%12s" % p.name for p in peers)))
    results = []
    for label, module, _, function, data in bench.cases():
        if module not in opt.evals.split(",") or module not in EVALS:
            continue
        tool = bench.Tool([opt.tool], threads=opt.threads)
        want = tool.ask(kind="evaluate", module=module, function=function, input=dict(data, min_runs=1, min_seconds=0))
        want = flat(want["output"], [])
        row = {"eval": label, "Gradus": tool.median_ms(module, function, data, 3, opt.seconds)}
        tool.close()
        for peer in peers:
            run = prepared(peer, module, data)
            got = flat(run(), [])
            scale = max(map(abs, want))
            error = max(abs(a - b) for a, b in zip(want, got)) / scale
            if len(want) != len(got) or not error < 1e-8:
                raise SystemExit("%s of %s differs by %g: nothing to compare" % (label, peer.name, error))
            row[peer.name] = median_ms(run, opt.seconds)
        results.append(row)
        print("%-26s %s" % (label, " ".join("%12.4f" % v for k, v in row.items() if k != "eval")), flush=True)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({"threads": threads, "rows": results}, f, indent=1)


if __name__ == "__main__":
    sys.exit(main())
