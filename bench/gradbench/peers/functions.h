// The functions of the evals, over the number type: double gives the primal, a recording type the derivative.
#pragma once
#include "common.h"

inline double value_of(double x) { return x; }

inline double log_gamma_d(double a, size_t d) {
    double sum = d * (d - 1) / 4.0 * std::log(M_PI);
    for (size_t j = 1; j <= d; j++) sum += std::lgamma(a + (1.0 - j) / 2);
    return sum;
}

template <class T> T lse(const T *x, size_t n) {
    using std::exp;
    using std::log;
    double a = value_of(x[0]);
    for (size_t i = 1; i < n; i++) a = std::max(a, value_of(x[i]));
    T sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - a);
    return a + log(sum);
}

inline double point(size_t i, size_t n) { return -1 + 2.0 * i / (n - 1); }
inline double sign(double t) { return (t > 0) - (t < 0); }

template <class T> T llsq(const T *x, size_t m, size_t n) {
    T y = 0.0;
    for (size_t i = 0; i < n; i++) {
        double t = point(i, n), power = 1;
        T r = sign(t);
        for (size_t j = 0; j < m; j++, power *= t) r -= x[j] * power;
        y += r * r;
    }
    return 0.5 * y;
}

// The expansion of rows `row`.. in the columns listed.
template <class T> T det(const T *a, size_t ell, size_t row, const size_t *columns) {
    size_t left = ell - row;
    if (left == 1) return a[row * ell + columns[0]];
    size_t rest[16];
    std::copy(columns + 1, columns + left, rest);
    T sum = 0.0;
    for (size_t j = 0; j < left; j++) {
        T term = a[row * ell + columns[j]] * det(a, ell, row + 1, rest);
        if (j % 2 == 0) sum += term;
        else sum -= term;
        if (j + 1 < left) rest[j] = columns[j];
    }
    return sum;
}

template <class T> void ode(const T *x, size_t n, size_t steps, std::vector<T> &y) {
    double h = 2.0 / steps;
    std::vector<T> k1(n), k2(n), k3(n), k4(n), u(n);
    auto f = [&](const std::vector<T> &y, std::vector<T> &k) {
        k[0] = x[0];
        for (size_t i = 1; i < n; i++) k[i] = x[i] * y[i - 1];
    };
    for (size_t i = 0; i < n; i++) y[i] = 0.0;
    for (size_t s = 0; s < steps; s++) {
        f(y, k1);
        for (size_t i = 0; i < n; i++) u[i] = y[i] + h / 2 * k1[i];
        f(u, k2);
        for (size_t i = 0; i < n; i++) u[i] = y[i] + h / 2 * k2[i];
        f(u, k3);
        for (size_t i = 0; i < n; i++) u[i] = y[i] + h * k3[i];
        f(u, k4);
        for (size_t i = 0; i < n; i++) y[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    }
}

// The centroid nearest to a point, by values.
template <class T> size_t nearest(const T *centroids, size_t k, size_t d, const double *point) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t j = 0; j < k; j++) {
        double sum = 0;
        for (size_t i = 0; i < d; i++) {
            double e = value_of(centroids[j * d + i]) - point[i];
            sum += e * e;
        }
        if (sum < least) least = sum, best = j;
    }
    return best;
}

template <class T> T kmeans(const T *centroids, size_t k, size_t d, const Vec &points) {
    T cost = 0.0;
    for (size_t p = 0; p < points.size(); p += d) {
        size_t j = nearest(centroids, k, d, &points[p]);
        for (size_t i = 0; i < d; i++) {
            T e = centroids[j * d + i] - points[p + i];
            cost += e * e;
        }
    }
    return cost;
}

struct Gmm {
    size_t d, k, n, m;
    double gamma;
    Vec x;
    size_t below() const { return d * (d - 1) / 2; }
    double constant() const {
        double p = d + m + 1.0;
        return k * (p * d * (std::log(gamma) - 0.5 * std::log(2.0)) - log_gamma_d(p / 2, d)) -
               0.5 * n * d * std::log(2 * M_PI);
    }
};

// Parameters: alpha, mu, q, l.
template <class T> T gmm(const Gmm &g, const T *parameters) {
    using std::exp;
    using std::log;
    size_t d = g.d, k = g.k;
    const T *alpha = parameters, *mu = alpha + k, *q = mu + k * d, *l = q + k * d;
    std::vector<T> diagonal(k * d), sums(k), beta(k), centred(d), image(d);
    T prior = 0.0;
    for (size_t c = 0; c < k; c++) {
        sums[c] = 0.0;
        for (size_t j = 0; j < d; j++) {
            diagonal[c * d + j] = exp(q[c * d + j]);
            sums[c] += q[c * d + j];
            prior -= 0.5 * g.gamma * g.gamma * diagonal[c * d + j] * diagonal[c * d + j];
        }
        for (size_t j = 0; j < g.below(); j++) {
            const T &v = l[c * g.below() + j];
            prior -= 0.5 * g.gamma * g.gamma * v * v;
        }
        prior += double(g.m) * sums[c];
    }
    T total = 0.0;
    for (size_t i = 0; i < g.n; i++) {
        for (size_t c = 0; c < k; c++) {
            for (size_t j = 0; j < d; j++) {
                centred[j] = g.x[i * d + j] - mu[c * d + j];
                image[j] = diagonal[c * d + j] * centred[j];
            }
            const T *column = l + c * g.below();
            for (size_t j = 0; j < d; j++)
                for (size_t r = j + 1; r < d; r++) image[r] += *column++ * centred[j];
            T square = 0.0;
            for (size_t j = 0; j < d; j++) square += image[j] * image[j];
            beta[c] = alpha[c] + sums[c] - 0.5 * square;
        }
        total += lse(beta.data(), k);
    }
    return total - double(g.n) * lse(alpha, k) + prior + g.constant();
}

struct Lstm {
    size_t layers, bits, characters;
    Vec state, sequence;
};

template <class T> T sigmoid(const T &x) {
    using std::exp;
    return 1.0 / (1.0 + exp(-x));
}

// Parameters: for each layer weights and biases (forget, in, out, change), then input weight, output weight and bias.
template <class T> T lstm(const Lstm &net, const T *parameters) {
    using std::exp;
    using std::log;
    using std::tanh;
    size_t b = net.bits;
    std::vector<T> state(net.state.begin(), net.state.end()), u(b);
    const T *extra = parameters + 8 * net.layers * b;
    T total = 0.0;
    for (size_t t = 0; t + 1 < net.characters; t++) {
        for (size_t i = 0; i < b; i++) u[i] = net.sequence[t * b + i] * extra[i];
        for (size_t layer = 0; layer < net.layers; layer++) {
            const T *w = parameters + 8 * layer * b, *bias = w + 4 * b;
            T *h = &state[2 * layer * b], *cell = h + b;
            for (size_t i = 0; i < b; i++) {
                T forget = sigmoid<T>(u[i] * w[i] + bias[i]);
                T in = sigmoid<T>(h[i] * w[b + i] + bias[b + i]);
                T out = sigmoid<T>(u[i] * w[2 * b + i] + bias[2 * b + i]);
                T change = tanh(h[i] * w[3 * b + i] + bias[3 * b + i]);
                cell[i] = cell[i] * forget + in * change;
                h[i] = out * tanh(cell[i]);
                u[i] = h[i];
            }
        }
        T sum = 2.0;
        for (size_t i = 0; i < b; i++) {
            u[i] = u[i] * extra[b + i] + extra[2 * b + i];
            sum += exp(u[i]);
        }
        T normaliser = log(sum);
        for (size_t i = 0; i < b; i++)
            if (net.sequence[(t + 1) * b + i] != 0) total += net.sequence[(t + 1) * b + i] * (u[i] - normaliser);
    }
    return -total / double(b * (net.characters - 1));
}

// One observation: inputs are a camera (11), a point (3) and a weight.
template <class T> void reproject(const T *in, const double *feature, T *error) {
    using std::cos;
    using std::sin;
    using std::sqrt;
    const T *r = in, *c = in + 3, *x = in + 11;
    T v[3], y[3], square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
    for (int i = 0; i < 3; i++) v[i] = x[i] - c[i];
    if (value_of(square) != 0) {
        T theta = sqrt(square), s = sin(theta), co = cos(theta), a[3];
        for (int i = 0; i < 3; i++) a[i] = r[i] / theta;
        T along = (a[0] * v[0] + a[1] * v[1] + a[2] * v[2]) * (1.0 - co);
        for (int i = 0; i < 3; i++) {
            int j = (i + 1) % 3, k = (i + 2) % 3;
            y[i] = v[i] * co + (a[j] * v[k] - a[k] * v[j]) * s + a[i] * along;
        }
    } else {
        for (int i = 0; i < 3; i++) {
            int j = (i + 1) % 3, k = (i + 2) % 3;
            y[i] = v[i] + r[j] * v[k] - r[k] * v[j];
        }
    }
    T e0 = y[0] / y[2], e1 = y[1] / y[2], q = e0 * e0 + e1 * e1;
    T distortion = 1.0 + q * (in[9] + q * in[10]);
    error[0] = in[14] * (e0 * distortion * in[6] + in[7] - feature[0]);
    error[1] = in[14] * (e1 * distortion * in[6] + in[8] - feature[1]);
}
