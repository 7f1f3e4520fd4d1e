// The derivatives by ADOL-C: recorded and swept in every run.
//
// usage: adolc EVAL derivative SECONDS < input
#include <adolc/adolc.h>

static double value_of(const adouble &x) { return x.value(); }

#include "functions.h"

static const short TAG = 1;

// Records `f` at `x`.
template <class F> static void record(const Vec &x, const F &f) {
    double y;
    trace_on(TAG);
    std::vector<adouble> inputs(x.size());
    for (size_t i = 0; i < x.size(); i++) inputs[i] <<= x[i];
    adouble result = f(inputs.data());
    result >>= y;
    trace_off();
}

template <class F> static Vec gradient_of(const Vec &x, const F &f) {
    Vec g(x.size());
    record(x, f);
    gradient(TAG, int(x.size()), const_cast<double *>(x.data()), g.data());
    return g;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    std::string eval = argv[1];
    double seconds = std::atof(argv[3]);
    Input in = Input::read();
    const std::vector<size_t> &s = in.sizes;
    if (eval == "lse") {
        Vec x = in.take(s[0]);
        report(seconds, [&] { return gradient_of(x, [&](const adouble *x) { return lse(x, s[0]); }); });
    } else if (eval == "llsq") {
        Vec x = in.take(s[0]);
        report(seconds, [&] { return gradient_of(x, [&](const adouble *x) { return llsq(x, s[0], s[1]); }); });
    } else if (eval == "det") {
        Vec a = in.take(s[0] * s[0]);
        size_t columns[16];
        for (size_t j = 0; j < 16; j++) columns[j] = j;
        report(seconds, [&] { return gradient_of(a, [&](const adouble *a) { return det(a, s[0], 0, columns); }); });
    } else if (eval == "ode") {
        Vec x = in.take(s[0]);
        report(seconds, [&] {
            return gradient_of(x, [&](const adouble *x) {
                std::vector<adouble> y(s[0]);
                ode(x, s[0], s[1], y);
                return adouble(y[s[0] - 1]);
            });
        });
    } else if (eval == "kmeans") {
        Vec points = in.take(s[0] * s[2]), centroids = in.take(s[1] * s[2]), ones(centroids.size(), 1.0);
        report(seconds, [&] {
            // The Hessian is diagonal: its product with ones is its diagonal.
            Vec g = gradient_of(centroids, [&](const adouble *c) { return kmeans(c, s[1], s[2], points); }), h(g.size());
            hess_vec(TAG, int(g.size()), centroids.data(), ones.data(), h.data());
            for (size_t i = 0; i < g.size(); i++) g[i] /= h[i];
            return g;
        });
    } else if (eval == "gmm") {
        Gmm g{s[0], s[1], s[2], s[3], in.take(1)[0], {}};
        g.x = in.take(g.n * g.d);
        Vec parameters = in.take(g.k * (1 + 2 * g.d + g.below()));
        report(seconds, [&] { return gradient_of(parameters, [&](const adouble *p) { return gmm(g, p); }); });
    } else if (eval == "lstm") {
        Vec parameters = in.take((8 * s[0] + 3) * s[1]);
        Lstm net{s[0], s[1], s[2], in.take(2 * s[0] * s[1]), in.take(s[1] * s[2])};
        report(seconds, [&] { return gradient_of(parameters, [&](const adouble *p) { return lstm(net, p); }); });
    } else {
        return 3;
    }
}
