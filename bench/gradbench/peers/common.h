// What all native peers share: numbers in, the median time and the numbers out.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

using Vec = std::vector<double>;

// The sizes and the numbers of one input.
struct Input {
    std::vector<size_t> sizes;
    Vec data;
    size_t at = 0;

    static Input read() {
        Input in;
        size_t count;
        if (std::scanf("%zu", &count) != 1) std::exit(2);
        in.sizes.resize(count);
        for (size_t &s : in.sizes)
            if (std::scanf("%zu", &s) != 1) std::exit(2);
        if (std::scanf("%zu", &count) != 1) std::exit(2);
        in.data.resize(count);
        for (double &v : in.data)
            if (std::scanf("%lf", &v) != 1) std::exit(2);
        return in;
    }
    // The next `count` numbers.
    Vec take(size_t count) {
        Vec part(data.begin() + at, data.begin() + at + count);
        at += count;
        return part;
    }
};

// Runs `f`, which returns all numbers of its result, for `seconds`; prints the median and the fastest in milliseconds,
// then the result.
inline void report(double seconds, const std::function<Vec()> &f) {
    Vec result = f(), times;
    for (double total = 0; total < seconds || times.size() < 3;) {
        auto start = std::chrono::steady_clock::now();
        result = f();
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        total += took.count();
        times.push_back(took.count());
    }
    std::sort(times.begin(), times.end());
    std::printf("%.9g %.9g\n", times[times.size() / 2] * 1e3, times[0] * 1e3);
    for (double v : result) std::printf("%.17g\n", v);
}
