//! Optimisers and activations that no kernel was made for, timed on one thread beside loops written by hand for the
//! instruction set of the machine.
//!
//! ```sh
//! GRADUS_THREADS=1 cargo run --release -p gradus-bench-loops -- 16384 131072 1048576
//! ```

use std::hint::black_box;
use std::time::Instant;

use gradus::{DType, Key, Tensor, jit, vjp};

/// Slices that a loop reads, and those that it writes.
type Loop = fn(&[&[f32]], &mut [&mut [f32]]);

/// A loop over elements of `reads` to elements of `writes`, compiled for what the machine has.
macro_rules! by_hand {
    ($(fn $name:ident[$($read:ident),+] -> [$($write:ident),+] $body:block)+) => { $(
        fn $name(reads: &[&[f32]], writes: &mut [&mut [f32]]) {
            #[inline(always)]
            fn run(reads: &[&[f32]], writes: &mut [&mut [f32]]) {
                let [$($read),+] = reads else { unreachable!() };
                let n = [$($read.len()),+][0];
                $(let $read = &$read[..n];)+
                let mut out = writes.iter_mut();
                $(let $write = &mut out.next().expect("as many as the loop writes")[..n];)+
                for i in 0..n {
                    $(let $read = $read[i];)+
                    let results = $body;
                    by_hand!(@put results, i, $($write),+);
                }
            }
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512(reads: &[&[f32]], writes: &mut [&mut [f32]]) {
                    run(reads, writes);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2(reads: &[&[f32]], writes: &mut [&mut [f32]]) {
                    run(reads, writes);
                }
                let has = |all: bool| all && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                if has(is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl")) {
                    // SAFETY: the machine has these instructions.
                    return unsafe { avx512(reads, writes) };
                }
                if has(true) {
                    // SAFETY: the machine has these instructions.
                    return unsafe { avx2(reads, writes) };
                }
            }
            run(reads, writes);
        }
    )+ };
    (@put $results:ident, $i:ident, $a:ident, $b:ident) => { ($a[$i], $b[$i]) = $results; };
    (@put $results:ident, $i:ident, $a:ident, $b:ident, $c:ident) => { ($a[$i], $b[$i], $c[$i]) = $results; };
    (@put $results:ident, $i:ident, $a:ident, $b:ident, $c:ident, $d:ident) => {
        ($a[$i], $b[$i], $c[$i], $d[$i]) = $results;
    };
}

fn signum(x: f32) -> f32 {
    f32::from(x > 0.0) - f32::from(x < 0.0)
}

by_hand! {
    fn rmsprop[p, v, g] -> [po, vo] {
        let v = 0.99 * v + 0.01 * (g * g);
        (p - 1e-3 * g / (v.sqrt() + 1e-8), v)
    }
    fn adagrad[p, v, g] -> [po, vo] {
        let v = v + g * g;
        (p - 1e-3 * g / (v.sqrt() + 1e-8), v)
    }
    fn lion[p, m, g] -> [po, mo] {
        let u = 0.9 * m + 0.1 * g;
        (p - 1e-3 * (signum(u) + 0.01 * p), 0.99 * m + 0.01 * g)
    }
    fn nesterov[p, m, g] -> [po, mo] {
        let d = g + 0.01 * p;
        let m = 0.9 * m + d;
        (p - 1e-2 * (d + 0.9 * m), m)
    }
    fn adam[p, m, v, g] -> [po, mo, vo] {
        let m = 0.9 * m + 0.1 * g;
        let v = 0.999 * v + 0.001 * (g * g);
        (p - 1e-3 * m / ((v / 0.2).sqrt() + 1e-8), m, v)
    }
    fn adabelief[p, m, v, g] -> [po, mo, vo] {
        let m = 0.9 * m + 0.1 * g;
        let d = g - m;
        let v = 0.999 * v + 0.001 * (d * d) + 1e-16;
        (p - 1e-3 * (m / 0.3) / ((v / 0.2).sqrt() + 1e-8), m, v)
    }
    fn yogi[p, m, v, g] -> [po, mo, vo] {
        let m = 0.9 * m + 0.1 * g;
        let q = g * g;
        let v = v - 0.001 * signum(v - q) * q;
        (p - 1e-3 * m / (v.sqrt() + 1e-3), m, v)
    }
    fn amsgrad[p, m, v, t, g] -> [po, mo, vo, to] {
        let m = 0.9 * m + 0.1 * g;
        let v = 0.999 * v + 0.001 * (g * g);
        let t = if v > t { v } else { t };
        (p - 1e-3 * m / (t.sqrt() + 1e-8), m, v, t)
    }
    fn softsign[x, dy] -> [y, dx] {
        let a = 1.0 + x.abs();
        (x / a, dy / (a * a))
    }
    fn bent_identity[x, dy] -> [y, dx] {
        let r = (x * x + 1.0).sqrt();
        ((r - 1.0) * 0.5 + x, dy * (x / r * 0.5 + 1.0))
    }
    fn hard_swish[x, dy] -> [y, dx] {
        let t = (x + 3.0).clamp(0.0, 6.0);
        let inside = f32::from((-3.0..=3.0).contains(&x));
        (x * t / 6.0, dy * (t / 6.0 + x * inside / 6.0))
    }
}

/// The step of an optimiser: the new parameters and state, of those and the gradient at the end.
type Optimiser = fn(&Vec<Tensor>) -> Vec<Tensor>;

const OPTIMISERS: [(&str, Optimiser, Loop, usize); 8] = [
    (
        "RMSProp",
        |x| {
            let v = 0.99 * &x[1] + 0.01 * x[2].square();
            vec![&x[0] - 1e-3 * &x[2] / (v.sqrt() + 1e-8), v]
        },
        rmsprop,
        2,
    ),
    (
        "Adagrad",
        |x| {
            let v = &x[1] + x[2].square();
            vec![&x[0] - 1e-3 * &x[2] / (v.sqrt() + 1e-8), v]
        },
        adagrad,
        2,
    ),
    (
        "Lion",
        |x| {
            let u = 0.9 * &x[1] + 0.1 * &x[2];
            vec![&x[0] - 1e-3 * (u.sign() + 0.01 * &x[0]), 0.99 * &x[1] + 0.01 * &x[2]]
        },
        lion,
        2,
    ),
    (
        "Nesterov",
        |x| {
            let d = &x[2] + 0.01 * &x[0];
            let m = 0.9 * &x[1] + &d;
            vec![&x[0] - 1e-2 * (d + 0.9 * &m), m]
        },
        nesterov,
        2,
    ),
    (
        "Adam",
        |x| {
            let m = 0.9 * &x[1] + 0.1 * &x[3];
            let v = 0.999 * &x[2] + 0.001 * x[3].square();
            vec![&x[0] - 1e-3 * &m / ((&v / 0.2).sqrt() + 1e-8), m, v]
        },
        adam,
        3,
    ),
    (
        "AdaBelief",
        |x| {
            let m = 0.9 * &x[1] + 0.1 * &x[3];
            let v = 0.999 * &x[2] + 0.001 * (&x[3] - &m).square() + 1e-16;
            vec![&x[0] - 1e-3 * (&m / 0.3) / ((&v / 0.2).sqrt() + 1e-8), m, v]
        },
        adabelief,
        3,
    ),
    (
        "Yogi",
        |x| {
            let m = 0.9 * &x[1] + 0.1 * &x[3];
            let q = x[3].square();
            let v = &x[2] - 0.001 * (&x[2] - &q).sign() * &q;
            vec![&x[0] - 1e-3 * &m / (v.sqrt() + 1e-3), m, v]
        },
        yogi,
        3,
    ),
    (
        "AMSGrad",
        |x| {
            let m = 0.9 * &x[1] + 0.1 * &x[4];
            let v = 0.999 * &x[2] + 0.001 * x[4].square();
            let t = v.maximum(&x[3]);
            vec![&x[0] - 1e-3 * &m / (t.sqrt() + 1e-8), m, v, t]
        },
        amsgrad,
        4,
    ),
];

const ACTIVATIONS: [(&str, fn(&Tensor) -> Tensor, Loop); 3] = [
    ("softsign", |x| x / (1.0 + x.abs()), softsign),
    ("bent identity", |x| ((x.square() + 1.0).sqrt() - 1.0) * 0.5 + x, bent_identity),
    ("hard-swish", |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0, hard_swish),
];

/// The shortest of many runs, in seconds.
fn shortest(mut run: impl FnMut()) -> f64 {
    const RUNS: u32 = 4;
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < 0.25 {
        let start = Instant::now();
        (0..RUNS).for_each(|_| run());
        best = best.min(start.elapsed().as_secs_f64() / f64::from(RUNS));
    }
    best
}

fn by_loop(f: Loop, operands: &[Tensor], results: usize) -> f64 {
    let reads: Vec<Vec<f32>> = operands.iter().map(Tensor::to_vec).collect();
    let mut writes = vec![vec![0f32; reads[0].len()]; results];
    let reads: Vec<&[f32]> = reads.iter().map(Vec::as_slice).collect();
    let mut writes: Vec<&mut [f32]> = writes.iter_mut().map(Vec::as_mut_slice).collect();
    shortest(|| f(black_box(&reads), black_box(&mut writes)))
}

fn main() {
    let sizes: Result<Vec<usize>, _> = std::env::args().skip(1).map(|size| size.parse()).collect();
    let sizes = match sizes {
        Ok(sizes) if sizes.is_empty() => vec![16_384, 131_072, 1_048_576],
        Ok(sizes) => sizes,
        Err(error) => {
            eprintln!("sizes are numbers of elements: {error}");
            std::process::exit(2);
        }
    };
    println!("{:<16} {:>9} {:>14} {:>14} {:>6}", "", "elements", "ours, ns/el.", "by hand", "ratio");
    for n in sizes {
        let values = |k: usize| Key::new(k as u64).uniform([n], DType::F32) * 0.5 + 0.25;
        let line = |name: &str, ours: f64, hand: f64| {
            let per = 1e9 / n as f64;
            println!("{name:<16} {n:>9} {:>14.3} {:>14.3} {:>6.2}", ours * per, hand * per, ours / hand);
        };
        for (name, f, by_hand, count) in OPTIMISERS {
            let step = jit(f).donate();
            let operands: Vec<Tensor> = (0..=count).map(values).collect();
            let (mut state, gradient) = (operands[..count].to_vec(), operands[count].clone());
            let ours = shortest(|| {
                let mut operands = std::mem::take(&mut state);
                operands.push(gradient.clone());
                state = step.call_owned(operands);
            });
            line(name, ours, by_loop(by_hand, &operands, count));
        }
        for (name, f, by_hand) in ACTIVATIONS {
            let both = jit(move |(x, dy): &(Tensor, Tensor)| {
                let (y, pull) = vjp(f, x);
                (y, pull(dy))
            });
            let operands = [values(0) * 8.0 - 4.0, values(1)];
            let args = (operands[0].clone(), operands[1].clone());
            let ours = shortest(|| drop(both.call(&args)));
            line(name, ours, by_loop(by_hand, &operands, 2));
        }
    }
}
