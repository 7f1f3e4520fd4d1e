// Hand-written C++: the functions, and their derivatives as one works them out on paper.
//
// usage: manual EVAL primal|derivative SECONDS < input
#include "functions.h"

static Vec lse_gradient(const Vec &x) {
    Vec g(x.size());
    double a = *std::max_element(x.begin(), x.end()), sum = 0;
    for (size_t i = 0; i < x.size(); i++) sum += g[i] = std::exp(x[i] - a);
    for (double &v : g) v /= sum;
    return g;
}

static Vec llsq_gradient(const Vec &x, size_t n) {
    size_t m = x.size();
    Vec g(m), powers(m);
    for (size_t i = 0; i < n; i++) {
        double t = point(i, n), r = sign(t), power = 1;
        for (size_t j = 0; j < m; j++, power *= t) r -= x[j] * (powers[j] = power);
        for (size_t j = 0; j < m; j++) g[j] -= r * powers[j];
    }
    return g;
}

// The determinant of a minor, with `weight` times its derivatives added to `g`.
static double det_gradient(const Vec &a, size_t ell, size_t row, const size_t *columns, double weight, Vec &g) {
    size_t left = ell - row;
    if (left == 1) {
        g[row * ell + columns[0]] += weight;
        return a[row * ell + columns[0]];
    }
    size_t rest[16];
    std::copy(columns + 1, columns + left, rest);
    double sum = 0, signed_one = 1;
    for (size_t j = 0; j < left; j++, signed_one = -signed_one) {
        size_t at = row * ell + columns[j];
        double minor = det_gradient(a, ell, row + 1, rest, weight * signed_one * a[at], g);
        g[at] += weight * signed_one * minor;
        sum += signed_one * a[at] * minor;
        if (j + 1 < left) rest[j] = columns[j];
    }
    return sum;
}

static Vec kmeans_direction(const Vec &points, const Vec &centroids, size_t k, size_t d) {
    Vec g(k * d), count(k);
    for (size_t p = 0; p < points.size(); p += d) {
        size_t j = nearest(centroids.data(), k, d, &points[p]);
        count[j] += 2;
        for (size_t i = 0; i < d; i++) g[j * d + i] += 2 * (centroids[j * d + i] - points[p + i]);
    }
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < d; i++) g[j * d + i] /= count[j];
    return g;
}

static Vec gmm_gradient(const Gmm &g, const Vec &parameters) {
    size_t d = g.d, k = g.k, n = g.n, below = g.below();
    const double *alpha = parameters.data(), *mu = alpha + k, *q = mu + k * d, *l = q + k * d;
    Vec out(parameters.size());
    double *galpha = out.data(), *gmu = galpha + k, *gq = gmu + k * d, *gl = gq + k * d;
    // Full factors, row by row, and every image Q (x - mu): the backward pass reads both.
    Vec factors(k * d * d), images(n * k * d), centred(d), beta(n * k), gfactor(d * d), back(d);
    for (size_t c = 0; c < k; c++) {
        const double *column = l + c * below;
        double *Q = &factors[c * d * d], sum = 0;
        for (size_t j = 0; j < d; j++) {
            Q[j * d + j] = std::exp(q[c * d + j]);
            sum += q[c * d + j];
            for (size_t r = j + 1; r < d; r++) Q[r * d + j] = *column++;
        }
        for (size_t i = 0; i < n; i++) {
            double *image = &images[(i * k + c) * d], square = 0;
            for (size_t j = 0; j < d; j++) centred[j] = g.x[i * d + j] - mu[c * d + j];
            for (size_t r = 0; r < d; r++) {
                double s = 0;
                for (size_t j = 0; j <= r; j++) s += Q[r * d + j] * centred[j];
                image[r] = s;
                square += s * s;
            }
            beta[i * k + c] = alpha[c] + sum - 0.5 * square;
        }
    }
    // beta becomes the share of each cluster in each point.
    auto shares = [](double *v, size_t count) {
        double most = *std::max_element(v, v + count), sum = 0;
        for (size_t c = 0; c < count; c++) sum += v[c] = std::exp(v[c] - most);
        for (size_t c = 0; c < count; c++) v[c] /= sum;
    };
    for (size_t i = 0; i < n; i++) shares(&beta[i * k], k);
    Vec mix(alpha, alpha + k);
    shares(mix.data(), k);
    for (size_t c = 0; c < k; c++) {
        const double *Q = &factors[c * d * d];
        std::fill(gfactor.begin(), gfactor.end(), 0.0);
        double weight = 0;
        for (size_t i = 0; i < n; i++) {
            double w = beta[i * k + c];
            const double *image = &images[(i * k + c) * d];
            weight += w;
            for (size_t j = 0; j < d; j++) centred[j] = g.x[i * d + j] - mu[c * d + j], back[j] = 0;
            for (size_t r = 0; r < d; r++)
                for (size_t j = 0; j <= r; j++) {
                    gfactor[r * d + j] -= w * image[r] * centred[j];
                    back[j] += Q[r * d + j] * image[r];
                }
            for (size_t j = 0; j < d; j++) gmu[c * d + j] += w * back[j];
        }
        double gamma2 = g.gamma * g.gamma;
        galpha[c] = weight - n * mix[c];
        double *column = gl + c * below;
        for (size_t j = 0; j < d; j++) {
            double e = Q[j * d + j];
            gq[c * d + j] = weight + gfactor[j * d + j] * e + double(g.m) - gamma2 * e * e;
            for (size_t r = j + 1; r < d; r++) *column++ = gfactor[r * d + j] - gamma2 * Q[r * d + j];
        }
    }
    return out;
}

static Vec lstm_gradient(const Lstm &net, const Vec &parameters) {
    size_t b = net.bits, layers = net.layers, steps = net.characters - 1;
    Vec out(parameters.size()), state = net.state, u(b), z(b);
    const double *extra = parameters.data() + 8 * layers * b;
    double *gextra = out.data() + 8 * layers * b;
    // Of each step, layer and bit: input, old hidden state, old cell, the four gates, tanh of the new cell.
    struct Cell { double u, h, c, f, i, o, a, y; };
    std::vector<Cell> cells(steps * layers * b);
    Vec last(steps * b), share(steps * b);
    for (size_t t = 0; t < steps; t++) {
        for (size_t i = 0; i < b; i++) u[i] = net.sequence[t * b + i] * extra[i];
        for (size_t layer = 0; layer < layers; layer++) {
            const double *w = parameters.data() + 8 * layer * b, *bias = w + 4 * b;
            double *h = &state[2 * layer * b], *cell = h + b;
            for (size_t i = 0; i < b; i++) {
                Cell &k = cells[(t * layers + layer) * b + i];
                k.u = u[i], k.h = h[i], k.c = cell[i];
                k.f = sigmoid(u[i] * w[i] + bias[i]);
                k.i = sigmoid(h[i] * w[b + i] + bias[b + i]);
                k.o = sigmoid(u[i] * w[2 * b + i] + bias[2 * b + i]);
                k.a = std::tanh(h[i] * w[3 * b + i] + bias[3 * b + i]);
                cell[i] = cell[i] * k.f + k.i * k.a;
                k.y = std::tanh(cell[i]);
                u[i] = h[i] = k.o * k.y;
            }
        }
        double sum = 2, weight = 0;
        for (size_t i = 0; i < b; i++) {
            last[t * b + i] = u[i];
            sum += z[i] = std::exp(u[i] * extra[b + i] + extra[2 * b + i]);
            weight += net.sequence[(t + 1) * b + i];
        }
        for (size_t i = 0; i < b; i++) share[t * b + i] = net.sequence[(t + 1) * b + i] - weight * z[i] / sum;
    }
    double scale = -1.0 / (b * steps);
    Vec gh(layers * b), gc(layers * b), gu(b);
    for (size_t t = steps; t-- > 0;) {
        for (size_t i = 0; i < b; i++) {
            double gz = scale * share[t * b + i];
            gextra[b + i] += gz * last[t * b + i];
            gextra[2 * b + i] += gz;
            gu[i] = gz * extra[b + i];
        }
        for (size_t layer = layers; layer-- > 0;) {
            const double *w = parameters.data() + 8 * layer * b;
            double *gw = out.data() + 8 * layer * b, *gb = gw + 4 * b;
            for (size_t i = 0; i < b; i++) {
                const Cell &k = cells[(t * layers + layer) * b + i];
                double &h = gh[layer * b + i], &c = gc[layer * b + i], up = gu[i] + h;
                c += up * k.o * (1 - k.y * k.y);
                double o = up * k.y * k.o * (1 - k.o), f = c * k.c * k.f * (1 - k.f);
                double in = c * k.a * k.i * (1 - k.i), a = c * k.i * (1 - k.a * k.a);
                gw[i] += f * k.u, gw[b + i] += in * k.h, gw[2 * b + i] += o * k.u, gw[3 * b + i] += a * k.h;
                gb[i] += f, gb[b + i] += in, gb[2 * b + i] += o, gb[3 * b + i] += a;
                gu[i] = f * w[i] + o * w[2 * b + i];
                h = in * w[b + i] + a * w[3 * b + i];
                c *= k.f;
            }
        }
        for (size_t i = 0; i < b; i++) gextra[i] += gu[i] * net.sequence[t * b + i];
    }
    return out;
}

// The two rows of one observation, 15 columns each.
static void reproject_gradient(const double *in, const double *feature, double *rows) {
    const double *r = in, *c = in + 3, *x = in + 11;
    double v[3], y[3], dr[3][3], dv[3][3]; // of y, by row
    for (int i = 0; i < 3; i++) v[i] = x[i] - c[i];
    double square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2], theta = std::sqrt(square), dot = r[0] * v[0] + r[1] * v[1] + r[2] * v[2];
    // y = C v + S (r x v) + K r (r·v), with C = cos, S = sin/theta, K = (1 - cos)/theta², and their slopes over theta.
    double C = 1, S = 1, K = 0, dC = 0, dS = 0, dK = 0;
    if (square != 0) {
        double s = std::sin(theta);
        C = std::cos(theta), S = s / theta, K = (1 - C) / square;
        dC = -S, dS = (C - S) / square, dK = (S - 2 * K) / square;
    }
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        double turn = r[j] * v[k] - r[k] * v[j];
        y[i] = C * v[i] + S * turn + K * r[i] * dot;
        for (int n = 0; n < 3; n++) {
            dr[i][n] = (dC * v[i] + dS * turn + dK * r[i] * dot) * r[n] + K * r[i] * v[n];
            dv[i][n] = K * r[i] * r[n];
        }
        dr[i][i] += K * dot, dr[i][j] += S * v[k], dr[i][k] -= S * v[j];
        dv[i][i] += C, dv[i][k] += S * r[j], dv[i][j] -= S * r[k];
    }
    double e[2] = {y[0] / y[2], y[1] / y[2]}, q = e[0] * e[0] + e[1] * e[1], f = in[6], w = in[14];
    double L = 1 + q * (in[9] + q * in[10]), dL = in[9] + 2 * q * in[10];
    for (int i = 0; i < 2; i++) {
        double *row = rows + 15 * i, g[3];
        // By y: e_i L f, of which e_i and q depend on y.
        double a = w * f * (L * (i == 0) + e[i] * dL * 2 * e[0]) / y[2], b = w * f * (L * (i == 1) + e[i] * dL * 2 * e[1]) / y[2];
        g[0] = a, g[1] = b, g[2] = -(a * e[0] + b * e[1]);
        for (int n = 0; n < 3; n++) {
            row[n] = g[0] * dr[0][n] + g[1] * dr[1][n] + g[2] * dr[2][n];
            row[11 + n] = g[0] * dv[0][n] + g[1] * dv[1][n] + g[2] * dv[2][n];
            row[3 + n] = -row[11 + n];
        }
        row[6] = w * e[i] * L;
        row[7] = i == 0 ? w : 0, row[8] = i == 1 ? w : 0;
        row[9] = w * f * e[i] * q, row[10] = w * f * e[i] * q * q;
        row[14] = e[i] * L * f + in[7 + i] - feature[i];
    }
}

// All observations with their expanded inputs; the first and the last two rows are shown.
struct Ba {
    size_t n, m, p;
    Vec cameras, points, weights, features, values;
    std::vector<unsigned> columns, starts;
    Ba(Input &in) : n(in.sizes[0]), m(in.sizes[1]), p(in.sizes[2]) {
        Vec cam = in.take(11), x = in.take(3), w = in.take(1), feat = in.take(2);
        auto repeat = [](const Vec &v, size_t times, Vec &to) {
            for (size_t i = 0; i < times; i++) to.insert(to.end(), v.begin(), v.end());
        };
        repeat(cam, n, cameras), repeat(x, m, points), repeat(w, p, weights), repeat(feat, p, features);
        values.resize(31 * p), columns.resize(31 * p), starts.resize(3 * p + 1);
    }
    void inputs(size_t i, double *in) const {
        std::copy_n(&cameras[11 * (i % n)], 11, in);
        std::copy_n(&points[3 * (i % m)], 3, in + 11);
        in[14] = weights[i];
    }
    Vec primal() {
        double in[15];
        for (size_t i = 0; i < p; i++) {
            inputs(i, in);
            reproject(in, &features[2 * i], &values[2 * i]);
            values[2 * p + i] = 1 - in[14] * in[14];
        }
        return Vec(values.begin(), values.begin() + 2);
    }
    Vec jacobian() {
        double in[15];
        for (size_t i = 0; i < p; i++) {
            inputs(i, in);
            reproject_gradient(in, &features[2 * i], &values[30 * i]);
            values[30 * p + i] = -2 * in[14];
            unsigned *column = &columns[30 * i], weight = 11 * n + 3 * m + i;
            for (unsigned j = 0; j < 11; j++) column[j] = column[15 + j] = 11 * (i % n) + j;
            for (unsigned j = 0; j < 3; j++) column[11 + j] = column[26 + j] = 11 * n + 3 * (i % m) + j;
            column[14] = column[29] = columns[30 * p + i] = weight;
            starts[2 * i] = 30 * i, starts[2 * i + 1] = 30 * i + 15, starts[2 * p + i] = 30 * p + i;
        }
        starts[3 * p] = 31 * p;
        Vec shown(values.begin(), values.begin() + 30);
        shown.push_back(values.back());
        return shown;
    }
};

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    std::string eval = argv[1];
    bool primal = argv[2] == std::string("primal");
    double seconds = std::atof(argv[3]);
    Input in = Input::read();
    const std::vector<size_t> &s = in.sizes;
    if (eval == "lse") {
        Vec x = in.take(s[0]);
        report(seconds, [&] { return primal ? Vec{lse(x.data(), x.size())} : lse_gradient(x); });
    } else if (eval == "llsq") {
        Vec x = in.take(s[0]);
        report(seconds, [&] { return primal ? Vec{llsq(x.data(), s[0], s[1])} : llsq_gradient(x, s[1]); });
    } else if (eval == "det") {
        Vec a = in.take(s[0] * s[0]);
        size_t columns[16];
        for (size_t j = 0; j < 16; j++) columns[j] = j;
        report(seconds, [&] {
            if (primal) return Vec{det(a.data(), s[0], 0, columns)};
            Vec g(a.size());
            det_gradient(a, s[0], 0, columns, 1, g);
            return g;
        });
    } else if (eval == "ode" && primal) {
        Vec x = in.take(s[0]), y(s[0]);
        report(seconds, [&] { return ode(x.data(), s[0], s[1], y), y; });
    } else if (eval == "kmeans") {
        Vec points = in.take(s[0] * s[2]), centroids = in.take(s[1] * s[2]);
        report(seconds, [&] {
            return primal ? Vec{kmeans(centroids.data(), s[1], s[2], points)} : kmeans_direction(points, centroids, s[1], s[2]);
        });
    } else if (eval == "gmm") {
        Gmm g{s[0], s[1], s[2], s[3], in.take(1)[0], {}};
        g.x = in.take(g.n * g.d);
        Vec parameters = in.take(g.k * (1 + 2 * g.d + g.below()));
        report(seconds, [&] { return primal ? Vec{gmm(g, parameters.data())} : gmm_gradient(g, parameters); });
    } else if (eval == "lstm") {
        Vec parameters = in.take((8 * s[0] + 3) * s[1]);
        Lstm net{s[0], s[1], s[2], in.take(2 * s[0] * s[1]), in.take(s[1] * s[2])};
        report(seconds, [&] { return primal ? Vec{lstm(net, parameters.data())} : lstm_gradient(net, parameters); });
    } else if (eval == "ba") {
        Ba ba(in);
        report(seconds, [&] { return primal ? ba.primal() : ba.jacobian(); });
    } else {
        return 3;
    }
}
