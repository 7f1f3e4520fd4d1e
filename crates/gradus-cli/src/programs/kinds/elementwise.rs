//! Functions of one, two and three arguments, element by element.

use gradus::num::{Domain, Unary as Op, for_each_unary};
use gradus::{DType, Tensor};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::{Operation, step};

pub(super) const KINDS: &[(usize, Draw)] = &[
    (30, unary),
    (22, arithmetic),
    (6, function_of_two),
    (8, literal),
    (6, parameters),
    (6, select),
    (4, mask),
    (6, logic),
    (4, integers),
    (4, cast),
    (3, clamp),
];

type Unary = (&'static str, Domain, fn(&Tensor) -> Tensor);

macro_rules! unary {
    ($($name:ident $Op:ident $family:ident $entry:tt)*) => {
        &[$((Op::$Op.entry().name, Op::$Op.entry().within, Tensor::$name)),*]
    };
}
const UNARY: &[Unary] = for_each_unary!(unary);

macro_rules! composed {
    ($($name:ident)+) => { &[$((stringify!($name), Domain::All, Tensor::$name)),+] };
}
const COMPOSED: &[Unary] = composed! {
    relu relu6 selu hard_tanh hard_sigmoid hard_swish gelu gelu_tanh silu mish log_sigmoid square stop_gradient
};

fn unary(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    if g.one_in(25) {
        return Some(g.push(step!(|x| -x), &[x]));
    }
    let at = g.rng.below(UNARY.len() + COMPOSED.len());
    let (name, domain, f) = *UNARY.get(at).unwrap_or_else(|| &COMPOSED[at - UNARY.len()]);
    let x = g.within(x, domain);
    Some(g.push(Operation::new(format!("{{0}}.{name}()"), move |a| f(a[0])), &[x]))
}

fn arithmetic(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let y = if g.one_in(12) { x } else { g.partner(x) };
    let (x, y) = if g.one_in(2) { (x, y) } else { (y, x) };
    Some(match g.rng.below(9) {
        0..=1 => g.push(step!(|x, y| x + y), &[x, y]),
        2..=3 => g.push(step!(|x, y| x - y), &[x, y]),
        4..=6 => g.push(step!(|x, y| x * y), &[x, y]),
        7 => {
            let y = g.within(y, Domain::NonZero);
            g.push(step!(|x, y| x / y), &[x, y])
        }
        _ => {
            let y = g.within(y, Domain::NonZero);
            g.push(step!(|x, y| x % y), &[x, y])
        }
    })
}

fn function_of_two(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let y = g.partner(x);
    Some(match g.rng.below(5) {
        0 => g.push(step!(|x, y| x.maximum(y)), &[x, y]),
        1 => g.push(step!(|x, y| x.minimum(y)), &[x, y]),
        2 => {
            let x = g.within(x, Domain::Positive);
            g.push(step!(|x, y| x.pow(y)), &[x, y])
        }
        3 => g.push(step!(|x, y| x.atan2(y)), &[x, y]),
        _ => g.push(step!(|x, y| x.hypot(y)), &[x, y]),
    })
}

fn number(g: &mut Grower<'_>) -> f64 {
    let any = (g.rng.uniform(-2.0, 2.0) * 64.0).round() / 64.0 + 0.003;
    g.choose(&[0.0, 1.0, -1.0, 2.0, 0.5, any, any, any])
}

fn literal(g: &mut Grower<'_>) -> Option<usize> {
    let (x, c) = (g.float()?, number(g));
    Some(match g.rng.below(7) {
        0 => g.push(step!(|x| x + c; c), &[x]),
        1 => g.push(step!(|x| c - x; c), &[x]),
        2..=3 => g.push(step!(|x| x * c; c), &[x]),
        4 => {
            let c = if c == 0.0 { 3.0 } else { c };
            g.push(step!(|x| x / c; c), &[x])
        }
        5 => g.push(step!(|x| x.maximum(c); c), &[x]),
        _ => {
            let x = g.within(x, Domain::NonZero);
            g.push(step!(|x| c / x; c), &[x])
        }
    })
}

fn parameters(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    Some(match g.rng.below(6) {
        0 => {
            let slope = 0.125;
            g.push(step!(|x| x.leaky_relu(slope); slope), &[x])
        }
        1 => {
            let alpha = 0.75;
            g.push(step!(|x| x.elu(alpha); alpha), &[x])
        }
        2..=3 => {
            let n = g.choose(&[-3i32, -2, -1, 0, 1, 2, 3, 4, 7]);
            let x = if n < 0 { g.within(x, Domain::NonZero) } else { x };
            g.push(step!(|x| x.powi(n); n), &[x])
        }
        4 => {
            let p = g.choose(&[0.5, 1.5, -0.5, 2.0, 2.5]);
            let x = g.within(x, Domain::Positive);
            g.push(step!(|x| x.powf(p); p), &[x])
        }
        _ => {
            let n = g.rng.below(3) as u32;
            let x = g.within(x, Domain::Positive);
            g.push(step!(|x| x.polygamma(n); n), &[x])
        }
    })
}

/// A mask of the shape of a float or one that broadcasts with it.
fn some_mask(g: &mut Grower<'_>, x: usize) -> usize {
    let (shape, limit) = (g.shape(x), g.limit);
    let fits = |t: &Tensor| {
        t.dtype() == DType::Bool && t.shape().broadcast(&shape).is_some_and(|s| s.size() <= limit)
    };
    if g.one_in(3)
        && let Some(mask) = g.pick(fits)
    {
        return mask;
    }
    let y = g.partner(x);
    match g.rng.below(8) {
        0 => g.push(step!(|x, y| x.greater(y)), &[x, y]),
        1 => g.push(step!(|x, y| x.less(y)), &[x, y]),
        2 => g.push(step!(|x, y| x.greater_equal(y)), &[x, y]),
        3 => g.push(step!(|x, y| x.less_equal(y)), &[x, y]),
        4 => g.push(step!(|x, y| x.equal(y)), &[x, y]),
        5 => g.push(step!(|x, y| x.not_equal(y)), &[x, y]),
        6 => g.push(step!(|x| x.is_nan()), &[x]),
        _ => g.push(step!(|x| x.greater(0.0)), &[x]),
    }
}

fn mask(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let mask = some_mask(g, x);
    Some(match g.rng.below(3) {
        0 => mask,
        1 => g.push(step!(|x| x.is_finite()), &[x]),
        _ => {
            let dtype = g.float;
            g.push(step!(|m| m.cast(dtype); dtype), &[mask])
        }
    })
}

fn select(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let (mask, y) = (some_mask(g, x), g.partner(x));
    let joint = g.shape(mask).broadcast(&g.shape(x))?.broadcast(&g.shape(y))?;
    if joint.size() > g.limit {
        return None;
    }
    Some(match g.rng.below(4) {
        0 => g.push(step!(|m, x| m.select(x, 0.0)), &[mask, x]),
        1 => g.push(step!(|m, x| m.select(1.5, x)), &[mask, x]),
        2 => g.push(step!(|m, x, y| Tensor::where_(m, x, y)), &[mask, x, y]),
        _ => g.push(step!(|m, x, y| m.select(x, y)), &[mask, x, y]),
    })
}

fn logic(g: &mut Grower<'_>) -> Option<usize> {
    let a = match g.pick(|t| matches!(t.dtype(), DType::Bool | DType::I32 | DType::I64 | DType::U8)) {
        Some(a) => a,
        None => {
            let x = g.float()?;
            some_mask(g, x)
        }
    };
    let b = g.partner(a);
    Some(match g.rng.below(4) {
        0 => g.push(step!(|a, b| a & b), &[a, b]),
        1 => g.push(step!(|a, b| a | b), &[a, b]),
        2 => g.push(step!(|a, b| a ^ b), &[a, b]),
        _ => g.push(step!(|a| !a), &[a]),
    })
}

/// Whole numbers, and back to floats.
fn integers(g: &mut Grower<'_>) -> Option<usize> {
    let a = match g.pick(|t| t.dtype().is_int()) {
        Some(a) if !g.one_in(4) => a,
        _ => {
            let (shape, dtype) = (g.some_shape(), g.choose(&[DType::I32, DType::I64, DType::I64, DType::U8]));
            g.fresh(dtype, shape)
        }
    };
    let b = g.partner(a);
    let a = match g.rng.below(12) {
        0 => g.push(step!(|a, b| a + b), &[a, b]),
        1 => g.push(step!(|a, b| a - b), &[a, b]),
        2 => g.push(step!(|a, b| a * b), &[a, b]),
        3 => g.push(step!(|a, b| a / (b.abs().minimum(100) + 1)), &[a, b]),
        4 => g.push(step!(|a, b| a % (b.abs().minimum(100) + 1)), &[a, b]),
        5 => g.push(step!(|a, b| a.maximum(b)), &[a, b]),
        6 => g.push(step!(|a| -a), &[a]),
        7 => g.push(step!(|a| a.sign()), &[a]),
        8 => g.push(step!(|a| a.powi(2)), &[a]),
        9 => g.push(step!(|a| a % 5), &[a]),
        10 => g.push(step!(|a| a * 2), &[a]),
        _ => g.push(step!(|a| a.abs()), &[a]),
    };
    if g.one_in(2) {
        return Some(a);
    }
    let dtype = g.float;
    Some(g.push(step!(|a| (a % 7).cast(dtype) * 0.25; dtype), &[a]))
}

fn cast(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.pick(|_| true)?;
    let dtype = g.choose(&[
        DType::F32,
        DType::F64,
        DType::F32,
        DType::F64,
        DType::Bf16,
        DType::F16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::Bool,
    ]);
    Some(g.push(step!(|x| x.cast(dtype); dtype), &[x]))
}

fn clamp(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    if g.one_in(2) {
        return Some(g.push(step!(|x| x.clamp(-0.75, 0.5)), &[x]));
    }
    let y = g.partner(x);
    Some(g.push(step!(|x, y| x.clamp(y, y + 0.5)), &[x, y]))
}
