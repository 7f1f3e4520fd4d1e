"""Times and memory of a step, taken as `gradus bench` takes them: the median of blocks of at least 0.15 s."""

import json
import os
import statistics
import time

THREADS = int(os.environ.get("BENCH_THREADS", "2"))


def status(field):
    """A field of this process's status in MiB; none where there is no such file."""
    try:
        with open("/proc/self/status") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # then the peak is that of the whole process


def seconds(f):
    began = time.perf_counter()
    f()
    return time.perf_counter() - began


def median_ms(f, warm=8, block=0.15, blocks=9, total=12.0):
    """Milliseconds a call: the median block and the best one, and how many calls there were."""
    one = seconds(f)
    for _ in range(warm if one < 1 else 1):
        one = min(one, seconds(f))
    calls = max(1, int(-(-block // one)))
    blocks = min(blocks, max(3, int(total / (calls * one))))
    times = sorted(seconds(lambda: [f() for _ in range(calls)]) / calls for _ in range(blocks))
    return times[blocks // 2] * 1e3, times[0] * 1e3, blocks * calls


def step_line(case, lib, step, idle, **more):
    """Runs `step`, which gives its loss as a float, and prints the JSON line of a case."""
    first = seconds(step)
    ms, best, count = median_ms(step)
    forget_peak()
    loss = step()
    peak = status("VmHWM")
    emit(case=case, lib=lib, threads=THREADS, ms=ms, best_ms=best, first_ms=first * 1e3, steps=count,
         peak_rss_mb=peak, idle_rss_mb=idle, loss=loss, **more)


def floor_ms(products, total=1.5, most=400):
    """Milliseconds for `(times, call)` pairs one after the other, each call counted as often as the step has it."""
    def round_ms():
        return sum(times * seconds(call) for times, call in products) * 1e3
    round_ms(), round_ms()
    began, rounds = time.perf_counter(), []
    while len(rounds) < 3 or (time.perf_counter() - began < total and len(rounds) < most):
        rounds.append(round_ms())
    return statistics.median(rounds)


def emit(**line):
    print(json.dumps(line), flush=True)
