//! The fused loops against their formulas in double precision, on several numbers of threads.

use gradus_cpu::Pool;
use gradus_cpu::fused::{
    Adam, Gelu, LayerNorm, Sgd, cross_entropy, cross_entropy_gradient, gelu, gelu_gradient, layer_norm,
    layer_norm_gradient, log_softmax, log_softmax_gradient, softmax, softmax_gradient,
};

fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / (1u64 << 29) as f64 - 2.0
        })
        .collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Errors are measured against the size of the numbers that were subtracted, which is about 1.
fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let scale = want.abs().max(1.0);
        assert!((*got as f64 - want).abs() <= tolerance * scale, "{what} at {i}: {got}, not {want}");
    }
}

const SHAPES: [(usize, usize); 7] = [(1, 1), (3, 5), (2, 16), (70, 33), (4, 512), (130, 64), (2, 50_000)];

#[test]
fn softmaxes_and_their_gradients() {
    for (rows, len) in SHAPES {
        let x: Vec<f64> = single(&numbers(rows * len, 1)).iter().map(|&v| v as f64 * 4.0).collect();
        let dy: Vec<f64> = single(&numbers(rows * len, 2)).iter().map(|&v| v as f64).collect();
        let (mut y, mut ly, mut gy, mut gly) = (vec![], vec![], vec![], vec![]);
        for r in 0..rows {
            let (x, dy) = (&x[r * len..][..len], &dy[r * len..][..len]);
            let m = x.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v));
            let s: f64 = x.iter().map(|v| (v - m).exp()).sum();
            let row: Vec<f64> = x.iter().map(|v| (v - m).exp() / s).collect();
            let dot: f64 = row.iter().zip(dy).map(|(a, b)| a * b).sum();
            let total: f64 = dy.iter().sum();
            gy.extend(row.iter().zip(dy).map(|(y, d)| (d - dot) * y));
            gly.extend(row.iter().zip(dy).map(|(y, d)| d - y * total));
            ly.extend(x.iter().map(|v| v - m - s.ln()));
            y.extend(row);
        }
        let (x32, dy32) = (single(&x), single(&dy));
        let mut first: Option<Vec<f32>> = None;
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            let mut out = vec![0f32; rows * len];
            softmax(&pool, rows, len, &x32, &mut out).expect("the slices fit");
            let relative = out.iter().zip(&y).all(|(a, b)| (*a as f64 / b - 1.0).abs() < 3e-6);
            assert!(relative, "softmax of {rows} x {len}");
            assert!(first.get_or_insert_with(|| out.clone()) == &out);
            let mut back = vec![0f32; rows * len];
            softmax_gradient(&pool, rows, len, &single(&y), &dy32, &mut back).expect("the slices fit");
            close(&back, &gy, 2e-6, "softmax gradient");
            log_softmax(&pool, rows, len, &x32, &mut out).expect("the slices fit");
            close(&out, &ly, 1e-6, "log-softmax");
            log_softmax_gradient(&pool, rows, len, &single(&ly), &dy32, &mut back).expect("the slices fit");
            close(&back, &gly, 1e-4, "log-softmax gradient");
        }
    }
}

#[test]
fn cross_entropies() {
    let pool = Pool::new(2);
    for (rows, len) in SHAPES {
        let x = numbers(rows * len, 3);
        let classes: Vec<i64> = (0..rows).map(|r| (r * 7 % len) as i64).collect();
        let scale = numbers(rows, 4);
        let (mut loss, mut lse, mut back) = (vec![0f64; rows], vec![0f64; rows], vec![0f64; rows * len]);
        cross_entropy(&pool, rows, len, &x, &classes, &mut loss, &mut lse).expect("the slices fit");
        cross_entropy_gradient(&pool, rows, len, &x, &classes, &lse, &scale, &mut back)
            .expect("the slices fit");
        for r in 0..rows {
            let row = &x[r * len..][..len];
            let s: f64 = row.iter().map(|v| v.exp()).sum();
            let class = classes[r] as usize;
            assert!((loss[r] - (s.ln() - row[class])).abs() < 1e-12 * len as f64);
            for j in 0..len {
                let want = (row[j].exp() / s - if j == class { 1.0 } else { 0.0 }) * scale[r];
                assert!((back[r * len + j] - want).abs() < 1e-12);
            }
        }
    }
    let mut out = [0f64];
    assert!(cross_entropy(&pool, 1, 2, &[0.0, 1.0], &[2], &mut out, &mut [0.0]).is_err());
    assert!(cross_entropy(&pool, 1, 2, &[0.0, 1.0], &[-1], &mut out, &mut [0.0]).is_err());
}

#[test]
fn layer_norms() {
    for (rows, len) in SHAPES {
        let norm = LayerNorm { rows, len, eps: 1e-5 };
        let (x, dy) = (numbers(rows * len, 5), numbers(rows * len, 6));
        let (scale, shift) = (numbers(len, 7), numbers(len, 8));
        let mut first: Option<Vec<f64>> = None;
        for threads in [1, 2, 4] {
            let pool = Pool::new(threads);
            let (mut y, mut mean, mut inverse) = (vec![0.0; rows * len], vec![0.0; rows], vec![0.0; rows]);
            layer_norm(&pool, norm, &x, &scale, &shift, &mut y, &mut mean, &mut inverse)
                .expect("the slices fit");
            let (mut dx, mut ds, mut dt) = (vec![0.0; rows * len], vec![0.0; len], vec![0.0; len]);
            layer_norm_gradient(&pool, norm, &x, &scale, &mean, &inverse, &dy, &mut dx, &mut ds, &mut dt)
                .expect("the slices fit");
            let (mut want_s, mut want_t) = (vec![0.0; len], vec![0.0; len]);
            for r in 0..rows {
                let at = r * len;
                let n = len as f64;
                let m: f64 = x[at..at + len].iter().sum::<f64>() / n;
                let v: f64 = x[at..at + len].iter().map(|x| (x - m) * (x - m)).sum::<f64>() / n;
                let k = 1.0 / (v + 1e-5).sqrt();
                let h = |j: usize| (x[at + j] - m) * k;
                let d = |j: usize| dy[at + j] * scale[j];
                let a: f64 = (0..len).map(d).sum::<f64>() / n;
                let b: f64 = (0..len).map(|j| d(j) * h(j)).sum::<f64>() / n;
                for j in 0..len {
                    assert!((y[at + j] - (h(j) * scale[j] + shift[j])).abs() < 1e-10);
                    assert!((dx[at + j] - k * (d(j) - a - h(j) * b)).abs() < 1e-9 * k.max(1.0));
                    want_s[j] += dy[at + j] * h(j);
                    want_t[j] += dy[at + j];
                }
            }
            for j in 0..len {
                assert!((ds[j] - want_s[j]).abs() < 1e-9 && (dt[j] - want_t[j]).abs() < 1e-10);
            }
            let all: Vec<f64> = [y, dx, ds, dt].concat();
            assert!(first.get_or_insert_with(|| all.clone()) == &all);
        }
    }
}

#[test]
fn gelus() {
    let pool = Pool::new(2);
    let x: Vec<f64> =
        (-2000..2000).map(|i| i as f64 * 0.009).chain([-30.0, 30.0, 1e10, -1e10, 0.0]).collect();
    let dy = vec![1.0; x.len()];
    let phi = |v: f64| 0.5 * libm::erfc(-v / 2f64.sqrt());
    let pi = std::f64::consts::PI;
    let density = |v: f64| (-0.5 * v * v).exp() / (2.0 * pi).sqrt();
    let u = |v: f64| (2.0 / pi).sqrt() * (v + 0.044715 * v * v * v);
    let gate = |v: f64| 1.0 / (1.0 + (-2.0 * u(v)).exp());
    let slope = |v: f64| 2.0 * (2.0 / pi).sqrt() * (1.0 + 3.0 * 0.044715 * v * v);
    let far = |v: f64, value: f64| if v.abs() > 1e3 { 0.0 } else { value };
    for which in [Gelu::Erf, Gelu::Tanh] {
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        gelu(&pool, which, &x, &mut y).expect("the slices fit");
        gelu_gradient(&pool, which, &x, &dy, &mut dx).expect("the slices fit");
        let (mut y32, mut dx32) = (vec![0f32; x.len()], vec![0f32; x.len()]);
        gelu(&pool, which, &single(&x), &mut y32).expect("the slices fit");
        gelu_gradient(&pool, which, &single(&x), &single(&dy), &mut dx32).expect("the slices fit");
        for (i, &v) in x.iter().enumerate() {
            let (want, gradient) = match which {
                Gelu::Erf => (v * phi(v), phi(v) + far(v, v * density(v))),
                Gelu::Tanh => (v * gate(v), gate(v) + far(v, v * slope(v) * gate(v) * (1.0 - gate(v)))),
            };
            // Rounding the argument of a Gaussian tail changes it by a relative v² units.
            let tail = 1e-15 * (2.0 + v.abs().min(40.0).powi(2));
            assert!(
                (y[i] - want).abs() <= tail * want.abs() + 1e-300,
                "{which:?} at {v}: {}, not {want}",
                y[i]
            );
            assert!((dx[i] - gradient).abs() <= 1e-14 + tail * gradient.abs(), "{which:?} gradient at {v}");
            assert!(
                (y32[i] as f64 - want).abs() <= 2e-5 * want.abs() + 1e-37,
                "{which:?} at {v}: {}",
                y32[i]
            );
            assert!((dx32[i] as f64 - gradient).abs() <= 1e-6, "{which:?} gradient at {v}");
        }
    }
}

#[test]
fn optimisers() {
    let pool = Pool::new(2);
    let n = 20_011;
    for (decay, decoupled) in [(0.0, false), (0.1, false), (0.1, true)] {
        let adam = Adam { rate: 0.01, decay, decoupled, ..Adam::default() };
        let mut p = numbers(n, 1);
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let (mut pw, mut mw, mut vw) = (p.clone(), m.clone(), v.clone());
        for step in 1..=5u64 {
            let g = numbers(n, 10 + step);
            adam.update(&pool, step, &g, &mut p, &mut m, &mut v).expect("the slices fit");
            for i in 0..n {
                let mut gradient = g[i];
                if decoupled {
                    pw[i] -= adam.rate * decay * pw[i]
                } else {
                    gradient += decay * pw[i]
                }
                mw[i] = 0.9 * mw[i] + 0.1 * gradient;
                vw[i] = 0.999 * vw[i] + 0.001 * gradient * gradient;
                let first = mw[i] / (1.0 - 0.9f64.powi(step as i32));
                let second = vw[i] / (1.0 - 0.999f64.powi(step as i32));
                pw[i] -= adam.rate * first / (second.sqrt() + 1e-8);
            }
        }
        assert!(p.iter().zip(&pw).all(|(a, b)| (a - b).abs() < 1e-12));
    }
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        let sgd = Sgd { rate: 0.1, momentum, decay: 0.01, nesterov };
        let mut p = numbers(n, 2);
        let mut b = if momentum == 0.0 { vec![] } else { vec![0.0; n] };
        let (mut pw, mut bw) = (p.clone(), vec![0.0; n]);
        for step in 0..3 {
            let g = numbers(n, 20 + step);
            sgd.update(&pool, &g, &mut p, &mut b).expect("the slices fit");
            for i in 0..n {
                let gradient = g[i] + 0.01 * pw[i];
                bw[i] = momentum * bw[i] + gradient;
                pw[i] -= 0.1 * if nesterov { gradient + momentum * bw[i] } else { bw[i] };
            }
        }
        assert!(p.iter().zip(&pw).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
