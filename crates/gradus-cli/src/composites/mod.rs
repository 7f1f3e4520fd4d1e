//! The composed functions of tensors against a table computed to many digits: values and first and second derivatives, in
//! both precisions and both modes, over the whole range.
//!
//! A row of `golden.txt` (written by `bench/golden/composites.py`) names a function, an element of its result, two arguments to
//! differentiate in, and a point. A value may be off by 8 units in the last place, a derivative by 16 times its condition number; what is not held
//! to that is an exception, each of which is a line of `docs/kinks.md`.

mod exceptions;
mod functions;

use std::collections::BTreeMap;

use gradus::{DType, Tensor, grad, jvp, value_and_grad};

pub use exceptions::{EXCEPTIONS, Exception};
pub use gradus_core::table::Exact;

use functions::function;

const TABLE: &str = include_str!("golden.txt");

/// Units in the last place that a value and derivatives of order 1 and 2 may be off.
pub const LIMITS: [f64; 3] = [8.0, 16.0, 16.0];

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Point {
    /// The function.
    pub name: &'static str,
    /// The element of its result.
    element: usize,
    /// The arguments differentiated in.
    pub by: [usize; 2],
    /// All arguments.
    pub x: Vec<f64>,
    /// Value, first and second derivative.
    pub exact: [Exact; 3],
}

impl Point {
    fn parse(line: &'static str) -> Option<Self> {
        let fields: Vec<&'static str> = line.split(' ').collect();
        let index = |i: usize| fields.get(i)?.parse::<usize>().ok();
        let bits = |b: &str| u64::from_str_radix(b, 16).map(f64::from_bits).ok();
        Some(Point {
            name: fields[0],
            element: index(1)?,
            by: [index(2)?, index(3)?],
            x: fields.get(4)?.split(',').map(bits).collect::<Option<_>>()?,
            exact: [
                Exact::parse(fields.get(5)?)?,
                Exact::parse(fields.get(6)?)?,
                Exact::parse(fields.get(7)?)?,
            ],
        })
    }

    /// Whether all arguments are numbers of the type.
    fn fits(&self, dtype: DType) -> bool {
        dtype == DType::F64 || self.x.iter().all(|&x| f64::from(x as f32) == x)
    }

    /// The value as it is computed at once, and the derivatives of either mode: `[value, first, second]`, reverse and
    /// forward.
    fn results(&self, dtype: DType) -> [[f64; 3]; 2] {
        let n = self.x.len();
        let unit = |i: usize| {
            let elements: Vec<f64> = (0..n).map(|m| f64::from(u8::from(m == i))).collect();
            Tensor::from(elements).cast(dtype)
        };
        let x = Tensor::from(self.x.clone()).cast(dtype);
        let f = |x: &Tensor| function(self.name, x).flatten().index(0, self.element as isize);
        let at = |t: &Tensor, i: usize| t.flatten().cast(DType::F64).to_vec::<f64>()[i];
        let [i, j] = self.by;
        let (di, dj) = (unit(i), unit(j));
        let (value, slope) = value_and_grad(f)(&x);
        let curved = jvp(grad(f), &x, &dj).1;
        let forward = jvp(|x: &Tensor| jvp(f, x, &di).1, &x, &dj);
        [
            [at(&value, 0), at(&slope, i), at(&curved, i)],
            [at(&f(&x), 0), at(&forward.0, 0), at(&forward.1, 0)],
        ]
    }
}

/// All rows of the table.
pub fn points() -> impl Iterator<Item = Point> {
    TABLE.lines().filter_map(Point::parse)
}

/// How a function came out in one precision.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The largest errors of value, first and second derivative: in units, over the condition number.
    pub worst: [f64; 3],
    /// Results within their bounds.
    pub held: usize,
    /// Results that an exception is made for.
    pub excepted: usize,
    /// Those that are beyond: where, and what was found.
    pub failures: Vec<String>,
}

impl Outcome {
    fn note(&mut self, point: &Point, order: usize, got: f64, dtype: DType) {
        let exact = &point.exact[order];
        let scale = if order == 0 { 1.0 } else { exact.condition };
        let units = exact.units(got, dtype) / scale;
        if units <= LIMITS[order] {
            self.held += 1;
            self.worst[order] = self.worst[order].max(units);
        } else if EXCEPTIONS.iter().any(|e| e.covers(point, order, got, dtype)) {
            self.excepted += 1;
        } else {
            let (x, [i, j], near) = (&point.x, point.by, exact.near);
            self.failures.push(format!(
                "order {order} of element {} by {i}, {j} at {x:?}: {got:e} for {near:e}, {units:.1} units",
                point.element
            ));
        }
    }
}

/// Checks the functions whose name contains `filter`, each in double and in single precision.
///
/// ```
/// for (name, dtype, outcome) in gradus_cli::composites::check("log_softmax") {
///     assert!(outcome.failures.is_empty(), "{name} {dtype:?}: {:?}", outcome.failures);
/// }
/// ```
pub fn check(filter: &str) -> Vec<(&'static str, DType, Outcome)> {
    let mut out: BTreeMap<(&'static str, bool), Outcome> = BTreeMap::new();
    for point in points().filter(|p| p.name.contains(filter)) {
        for dtype in [DType::F64, DType::F32] {
            if !point.fits(dtype) {
                continue;
            }
            let outcome = out.entry((point.name, dtype == DType::F32)).or_default();
            for results in point.results(dtype) {
                for (order, got) in results.into_iter().enumerate() {
                    outcome.note(&point, order, got, dtype);
                }
            }
        }
    }
    out.into_iter()
        .map(|((name, single), o)| (name, [DType::F64, DType::F32][usize::from(single)], o))
        .collect()
}
