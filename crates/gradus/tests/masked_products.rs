//! Masked products with NaN, infinities and zeros among their factors: a compiled program, one run at once and the reference
//! interpreter agree on which results are numbers, in every composition of modes.

use std::rc::Rc;

use gradus::core::interpret;
use gradus::{Array, DType, Key, Tensor, grad, hvp, jit, jvp, vmap};

type Many = Vec<Tensor>;
type Function = Rc<dyn Fn(&Many) -> Many>;

/// A source of choices.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn normal(&mut self, shape: &[usize], dtype: DType) -> Tensor {
        Key::new(self.below(1 << 30) as u64).normal(shape, dtype)
    }

    /// Some rows, columns and elements that are no ordinary numbers.
    fn spoilt(&mut self, x: &Tensor) -> Tensor {
        let columns = x.shape()[x.rank() - 1];
        let mut v = x.to_vec::<f64>();
        let rows = v.len() / columns;
        for _ in 0..1 + self.below(3) {
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0, 0.0][self.below(6)];
            let (i, j) = (self.below(rows), self.below(columns));
            match self.below(4) {
                0 => v[i * columns..][..columns].fill(odd),
                1 => v.iter_mut().skip(j).step_by(columns).for_each(|x| *x = odd),
                2 => v.fill(odd),
                _ => v[i * columns + j] = odd,
            }
        }
        Tensor::new(x.shape(), v).unwrap().cast(x.dtype())
    }
}

fn function(which: usize, x: &Tensor) -> Tensor {
    match which {
        0 => x.sqrt(),
        1 => x.relu(),
        2 => x.tanh(),
        3 => x.square(),
        4 => x.softmax(-1),
        _ => x * 2.5,
    }
}

fn total(y: &Many) -> Tensor {
    y.iter().map(|y| (y * Key::new(5).normal(y.shape(), y.dtype())).sum(())).reduce(|a, b| a + b).unwrap()
}

/// `select(mask, f(g(x) h(y)), fill)`, and what is made of it with `z`.
fn program(c: &mut Choices, [batch, m, k, n]: [usize; 4], dtype: DType) -> (Function, Many) {
    let shape =
        |rows: usize, columns: usize| [vec![batch; usize::from(batch > 1)], vec![rows, columns]].concat();
    let mut x: Many = [shape(m, k), shape(k, n), shape(n, k)].iter().map(|s| c.normal(s, dtype)).collect();
    for x in &mut x {
        if c.below(3) > 0 {
            *x = c.spoilt(x);
        }
    }
    let mask = [vec![m, 1], vec![1, n], shape(m, n)][c.below(3)].clone();
    let share = [2, 5, 9][c.below(3)];
    let kept = (0..mask.iter().product::<usize>()).map(|_| c.below(10) < share).collect::<Vec<bool>>();
    let mask = Tensor::new(mask, kept).unwrap();
    let [before, beside, after, last, end] = [6, 6, 6, 6, 3].map(|n| c.below(n));
    let (causal, fill) = (c.below(4) == 0, [0.0, f64::NEG_INFINITY, 1.0][c.below(3)]);
    let f = move |x: &Many| {
        let scores = function(before, &x[0]).matmul(&function(beside, &x[1]));
        let place = |i: usize| Tensor::iota(if i == 0 { [m, 1] } else { [1, n] }, i, DType::I64);
        let mask = if causal { place(0).greater_equal(place(1)) } else { mask.clone() };
        let scores = mask.select(function(after, &scores), fill);
        match end {
            0 => vec![scores],
            1 => vec![function(last, &scores).matmul(&x[2])],
            _ => {
                let mixed = scores.softmax(-1).matmul(&x[2]);
                vec![mask.slice(-1, ..1).select(mixed, 0.0)]
            }
        }
    };
    (Rc::new(f), x)
}

/// The function under a composition of modes, with its arguments.
fn transformed(c: &mut Choices, f: Function, x: Many) -> (Function, Many) {
    let more: Many = x.iter().map(|x| c.normal(x.shape(), x.dtype())).collect();
    let odd: Many = more.iter().map(|d| if c.below(3) == 0 { c.spoilt(d) } else { d.clone() }).collect();
    let two: Many = more.iter().zip(&odd).map(|(a, b)| Tensor::stack(&[a, b], 0)).collect();
    let halves = |x: &Many| (x[..3].to_vec(), x[3..].to_vec());
    let with = |d: Many| [x.clone(), d].concat();
    match c.below(7) {
        0 => (f, x),
        1 => (Rc::new(move |x| grad(|x: &Many| total(&f(x)))(x)), x),
        2 => (Rc::new(move |x| jvp(|x: &Many| f(x), &halves(x).0, &halves(x).1).1), with(odd)),
        // Two tangents at once.
        3 => {
            let pushed = move |x: &Many| {
                let (x, dx) = halves(x);
                vmap(|dx: &Many| jvp(|x: &Many| f(x), &x, dx).1)(&dx)
            };
            (Rc::new(pushed), with(two))
        }
        4 => (Rc::new(move |x| hvp(|x: &Many| total(&f(x)), &halves(x).0, &halves(x).1)), with(more)),
        5 => {
            let both = move |x: &Many| {
                let (x, dx) = halves(x);
                grad(|dx: &Many| total(&jvp(|x: &Many| f(x), &x, dx).1))(&dx)
            };
            (Rc::new(both), with(more))
        }
        _ => {
            let pairs = x.iter().zip(&more).map(|(a, b)| Tensor::stack(&[a, b], 0)).collect();
            (Rc::new(move |x| vmap(|x: &Many| grad(|x: &Many| total(&f(x)))(x))(x)), pairs)
        }
    }
}

/// Elements that are a number here and none there. Which of the infinities and NaN comes out is left to the order of
/// products and sums, and so is what has nearly overflowed.
fn differ(a: &Tensor, b: &Tensor) -> usize {
    let large = if a.dtype() == DType::F32 { 1e34 } else { 1e300 };
    let apart = |x: f64, y: f64| x.abs() < large && !y.is_finite();
    a.to_vec::<f64>().iter().zip(b.to_vec::<f64>()).filter(|&(&x, y)| apart(x, y) || apart(y, x)).count()
}

#[test]
fn all_executions_agree_on_what_is_a_number() {
    for seed in 0..300 {
        let mut c = Choices(seed << 17);
        let dtype = [DType::F32, DType::F64][c.below(2)];
        let most = [6, 6, 40, 70][c.below(4)];
        let size = [1 + c.below(3), 1 + c.below(most), 1 + c.below(most), 1 + c.below(most)];
        let (f, x) = program(&mut c, size, dtype);
        let (f, x) = transformed(&mut c, f, x);
        let now = f(&x);
        let compiled = jit(move |x: &Many| f(x));
        let (graph, captured) = compiled.try_record(&x).unwrap();
        let arguments: Vec<Array> = x.iter().chain(&captured).map(|t| t.to_array().unwrap()).collect();
        let plain: Many = interpret(&graph, &arguments).unwrap().into_iter().map(Tensor::from).collect();
        for (k, (plain, results)) in plain.iter().zip(compiled.call(&x).iter().zip(&now)).enumerate() {
            let found = [differ(plain, results.0), differ(plain, results.1)];
            assert_eq!(found, [0, 0], "case {seed}, result {k}: compiled, at once\n{graph}");
        }
    }
}

/// Scores that are masked reach no gradient, whatever the keys hold that they are made of; a NaN among the values reaches
/// the result, as its weight of 0 is a number.
#[test]
fn masked_keys_leave_no_trace() {
    let [t, d] = [40, 8];
    let draw = |seed: u64| Key::new(seed).normal([2, t, d], DType::F32);
    let place = Tensor::iota([1, t, 1], 1, DType::I64);
    let spoil = |x: &Tensor| place.equal(7).select(f64::NAN, x);
    let seen = Tensor::iota([1, t], 1, DType::I64).not_equal(7);
    let attend = |x: &Many| {
        let scores = seen.select(x[0].matmul(&x[1].t()), f64::NEG_INFINITY);
        vec![scores.softmax(-1).matmul(&x[2])]
    };
    let gradient = |x: &Many| grad(|x: &Many| total(&attend(x)))(x);
    let (q, k, v) = (draw(1), draw(2), draw(3));
    let numbers = |x: &Tensor| x.is_finite().all(()).item::<bool>();
    let spoilt = vec![q.clone(), spoil(&k), v.clone()];
    for (value, slopes) in
        [(attend(&spoilt), gradient(&spoilt)), (jit(attend).call(&spoilt), jit(gradient).call(&spoilt))]
    {
        assert!(numbers(&value[0]) && slopes.iter().all(numbers));
        assert!(slopes[1].index(1, 7).abs().max(()).item::<f64>() == 0.0);
    }
    let spoilt = vec![q, k, spoil(&v)];
    for value in [attend(&spoilt), jit(attend).call(&spoilt)] {
        assert!(value[0].is_nan().all(()).item::<bool>());
    }
    // With values that are selected as well nothing is left of the mask.
    let guarded = |x: &Many| attend(&vec![x[0].clone(), x[1].clone(), place.equal(7).select(0.0, &x[2])]);
    let gradient = |x: &Many| grad(|x: &Many| total(&guarded(x)))(x);
    assert!(jit(gradient).call(&spoilt).iter().all(numbers) && gradient(&spoilt).iter().all(numbers));
}
