//! Where there is no derivative, or a branch decides: gradient and Hessian as `docs/kinks.md` has them.

use std::slice::from_ref;

use gradus::num::Unary;

use super::{Derivatives, Report, Site};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// A function at a point.
#[derive(Clone, Copy)]
pub(super) struct Convention {
    name: &'static str,
    x: &'static [f64],
    gradient: &'static [f64],
    hessian: &'static [f64],
}

/// Those of this file, and those that entries of the table of element-wise functions state.
fn all() -> impl Iterator<Item = Convention> {
    let of = |op: &Unary| (op.name(), op.entry().at);
    let stated = Unary::ALL.iter().map(of).flat_map(|(name, points)| {
        points.iter().map(move |(x, first, second)| at(name, from_ref(x), from_ref(first), from_ref(second)))
    });
    CONVENTIONS.iter().copied().chain(stated)
}

const fn at(
    name: &'static str,
    x: &'static [f64],
    gradient: &'static [f64],
    hessian: &'static [f64],
) -> Convention {
    Convention { name, x, gradient, hessian }
}

const THIRD: f64 = 1.0 / 3.0;

const CONVENTIONS: &[Convention] = &[
    at("stop_gradient", &[2.0], &[0.0], &[0.0]),
    at("powi(0)", &[0.0], &[0.0], &[0.0]),
    at("powf(0)", &[0.0], &[0.0], &[0.0]),
    at("relu", &[0.0], &[0.0], &[0.0]),
    at("relu", &[-0.0], &[0.0], &[0.0]),
    at("relu6", &[0.0], &[0.0], &[0.0]),
    at("relu6", &[6.0], &[0.0], &[0.0]),
    at("leaky_relu", &[0.0], &[0.1], &[0.0]),
    at("elu", &[0.0], &[0.7], &[0.7]),
    at("hard_tanh", &[-1.0], &[0.0], &[0.0]),
    at("hard_tanh", &[1.0], &[0.0], &[0.0]),
    at("hard_sigmoid", &[3.0], &[0.0], &[0.0]),
    at("hard_swish", &[-3.0], &[0.0], &[0.0]),
    at("gelu", &[-INF], &[0.0], &[0.0]),
    at("gelu", &[INF], &[1.0], &[0.0]),
    at("gelu_tanh", &[-INF], &[0.0], &[0.0]),
    at("gelu_tanh", &[INF], &[1.0], &[0.0]),
    at("silu", &[-INF], &[0.0], &[0.0]),
    at("silu", &[INF], &[1.0], &[0.0]),
    at("mish", &[-INF], &[0.0], &[0.0]),
    at("mish", &[INF], &[1.0], &[0.0]),
    at("log_sigmoid", &[-INF], &[1.0], &[0.0]),
    at("log_sigmoid", &[INF], &[0.0], &[0.0]),
    at("clamp(x, -1, 2)", &[2.0], &[1.0], &[0.0]),
    at("maximum(x, 0)", &[0.0], &[0.5], &[0.0]),
    at("select(sqrt)", &[0.0], &[0.0], &[0.0]),
    at("maximum", &[1.0, 1.0], &[0.5, 0.5], &[0.0; 4]),
    at("maximum", &[NAN, 1.0], &[NAN, NAN], &[0.0; 4]),
    at("minimum", &[0.0, -0.0], &[0.5, 0.5], &[0.0; 4]),
    at("hypot", &[0.0, 0.0], &[0.0, 0.0], &[0.0; 4]),
    at("atan2", &[0.0, 0.0], &[NAN, NAN], &[NAN; 4]),
    at("pow", &[0.0, 2.0], &[0.0, 0.0], &[2.0, 0.0, 0.0, 0.0]),
    at("pow", &[0.0, 1.0], &[1.0, 0.0], &[0.0, -INF, -INF, 0.0]),
    at("pow", &[0.0, 0.5], &[INF, 0.0], &[-INF, -INF, -INF, 0.0]),
    at("pow", &[0.0, 0.0], &[0.0, -INF], &[0.0, INF, INF, INF]),
    at("rem", &[4.0, 2.0], &[1.0, -2.0], &[0.0; 4]),
    at("clamp", &[0.0, 0.0, 1.0], &[1.0, 0.0, 0.0], &[0.0; 9]),
    at("clamp", &[1.0, 1.0, 1.0], &[1.0, 0.0, 0.0], &[0.0; 9]),
    at("clamp", &[2.0, 0.0, 1.0], &[0.0, 0.0, 1.0], &[0.0; 9]),
    at("global_norm", &[0.0, 0.0, 1.0], &[0.0, 0.0, 1.0], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    at("norm", &[0.0; 3], &[0.0; 3], &[0.0; 9]),
    at("std", &[1.0; 3], &[0.0; 3], &[0.0; 9]),
    at("max", &[2.0; 3], &[THIRD; 3], &[0.0; 9]),
    at("max", &[1.0, 2.0, 2.0], &[0.0, 0.5, 0.5], &[0.0; 9]),
    at("max", &[NAN, 2.0, 1.0], &[NAN; 3], &[0.0; 9]),
    at("sort", &[1.0, 1.0, 0.0], &[1.25, 1.5, 1.0], &[0.0; 9]),
    at("top_k", &[1.0; 4], &[1.0, 1.25, 0.0, 0.0], &[0.0; 16]),
    at("max_pool", &[1.0; 4], &[1.0, 1.25, 1.5, 0.0], &[0.0; 16]),
    at("max_pool2d", &[1.0; 4], &[1.0, 0.0, 0.0, 0.0], &[0.0; 16]),
    at("logsumexp", &[-INF; 3], &[0.0; 3], &[0.0; 9]),
    at("logsumexp", &[INF, 0.0, INF], &[0.5, 0.0, 0.5], &[0.25, 0.0, -0.25, 0.0, 0.0, 0.0, -0.25, 0.0, 0.25]),
    at("softmax", &[-INF; 3], &[0.0; 3], &[0.0; 9]),
];

/// The points of a function at which there is a convention.
pub(super) fn points(name: &str) -> impl Iterator<Item = &'static [f64]> {
    all().filter(move |c| c.name == name).map(|c| c.x)
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
}

/// Whether there is a convention for the point.
pub(super) fn exists(name: &str, x: &[f64]) -> bool {
    all().any(|c| c.name == name && same_bits(c.x, x))
}

/// Compares what was found with the convention for this point, if there is one.
pub(super) fn check(site: &Site<'_>, found: &Derivatives, report: &mut Report) {
    let here = |c: &Convention| c.name == site.row.name && same_bits(c.x, &site.x);
    let Some(convention) = all().find(here) else { return };
    super::compare(
        site,
        &found.sizes,
        "gradient by convention",
        &found.gradient,
        convention.gradient,
        report,
    );
    super::compare(site, &found.sizes, "Hessian by convention", &found.hessian, convention.hessian, report);
}
