//! The second-order oracle: every operation and library function at its special points, through every composition of modes.
//!
//! `rows` has a function and its points, `compositions` the modes over modes and what a function may lie in. At each point
//! all of them have to be the same, NaN and infinities included, the Hessian has to be symmetric, derivatives that exist have to be
//! what finite differences say, and the others what `docs/kinks.md` does. `scalar` does the same for functions of scalars,
//! `sources` finds functions and operations that have no row.

mod compositions;
mod conventions;
mod differences;
mod points;
mod rows;
pub mod scalar;
mod sources;

use gradus::{DType, Tensor};

use compositions::{Composition, Context, along, gradient};
pub use rows::{Row, rows};
pub use sources::{functions_without_row, operations_without_row};

/// How a row came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The function, or what else was examined.
    pub name: String,
    /// Comparisons that were made.
    pub compared: usize,
    /// Derivatives that were held against finite differences or a limit.
    pub differences: usize,
    /// Derivatives that do not exist, each with a sentence of `docs/kinks.md`.
    pub skipped: Vec<(String, usize)>,
    /// What was wrong.
    pub failures: Vec<String>,
}

impl Report {
    fn named(name: &str) -> Self {
        Report { name: name.to_string(), ..Report::default() }
    }

    /// How many results were skipped.
    pub fn skips(&self) -> usize {
        self.skipped.iter().map(|(_, n)| n).sum()
    }

    fn skip(&mut self, words: &str, count: usize) {
        match self.skipped.iter_mut().find(|(w, _)| w == words) {
            Some((_, n)) => *n += count,
            None => self.skipped.push((words.to_string(), count)),
        }
    }
}

/// Numbers of a tensor, in double precision.
fn numbers(t: &Tensor) -> Vec<f64> {
    t.flatten().cast(DType::F64).to_vec()
}

/// A function at a set of points: `k` arguments of `m` independent points each, or one point of `k` coordinates.
pub(crate) struct Site<'a> {
    row: &'a Row,
    dtype: DType,
    /// Coordinates, or arguments.
    k: usize,
    /// Independent points.
    m: usize,
    /// `[k, m]`
    x: Vec<f64>,
}

impl Site<'_> {
    fn tensor(&self, x: &[f64]) -> Tensor {
        Tensor::from(x.to_vec()).reshape([self.k, self.m]).cast(self.dtype)
    }

    /// A result an independent point.
    fn value(&self, x: &Tensor) -> Tensor {
        if self.row.elementwise {
            let arguments: Vec<Tensor> = (0..self.k).map(|i| x.index(0, i as isize)).collect();
            return (self.row.function)(&arguments);
        }
        let y = (self.row.function)(&[x.flatten()]).flatten();
        let weights: Vec<f64> = (0..y.size()).map(|i| 1.0 + 0.25 * (i % 7) as f64).collect();
        let y = if y.size() == 1 { y } else { y * Tensor::from(weights).cast(self.dtype) };
        y.sum(()).reshape([1])
    }

    /// The coordinate `i` of every point.
    fn unit(&self, i: usize) -> Tensor {
        let ones: Vec<f64> = (0..self.k * self.m).map(|at| f64::from(u8::from(at / self.m == i))).collect();
        self.tensor(&ones)
    }

    fn point(&self, at: usize) -> Vec<f64> {
        (0..self.k).map(|i| self.x[i * self.m + at]).collect()
    }

    fn precision(&self) -> Precision {
        Precision::of(self.dtype)
    }
}

/// How close results have to be.
#[derive(Clone, Copy)]
struct Precision {
    relative: f64,
    beside: f64,
    big: f64,
    small: f64,
    /// The ends of the range in which squares are numbers.
    squares: [f64; 2],
}

impl Precision {
    fn of(dtype: DType) -> Self {
        match dtype {
            DType::F32 => {
                Precision { relative: 1e-4, beside: 1e-5, big: 1e34, small: 1e-34, squares: [1e-18, 1e18] }
            }
            _ => Precision {
                relative: 1e-9,
                beside: 1e-13,
                big: 1e290,
                small: 1e-290,
                squares: [1e-150, 1e150],
            },
        }
    }

    /// Whether the square is a number.
    fn ordinary(&self, x: f64) -> bool {
        x == 0.0 || (self.squares[0]..self.squares[1]).contains(&x.abs())
    }

    /// The same infinity, both NaN, or close. Near the ends of the exponent range one path may round to infinity or zero
    /// what is nearly so on another; what cancels is compared with the largest number beside it.
    fn same(&self, a: f64, b: f64, beside: f64) -> bool {
        a == b
            || a.is_nan() && b.is_nan()
            || (a - b).abs() <= self.relative * a.abs().max(b.abs())
            || (a - b).abs() <= self.beside * beside
            || a.abs() <= self.small && b.abs() <= self.small
            || a.abs() >= self.big && b.abs() >= self.big && a.signum() == b.signum()
    }
}

fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.filter(|x| x.is_finite()).fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// Compares numbers of each point, laid out as `[groups, m]`.
fn compare(site: &Site<'_>, sizes: &[f64], what: &str, got: &[f64], want: &[f64], report: &mut Report) {
    let (m, precision) = (site.m, site.precision());
    for (at, &size) in sizes.iter().enumerate() {
        report.compared += 1;
        let (got, want): (Vec<f64>, Vec<f64>) = (at..got.len()).step_by(m).map(|i| (got[i], want[i])).unzip();
        let beside = largest(want.iter().copied()).max(size);
        let apart = |(a, b): &(&f64, &f64)| !precision.same(**a, **b, beside);
        let apart: Vec<(&f64, &f64)> = got.iter().zip(&want).filter(apart).collect();
        if apart.is_empty() {
            continue;
        }
        let x = site.point(at);
        let regular = x.iter().all(|x| precision.ordinary(*x)) && want.iter().all(|x| x.is_finite());
        let nan = apart.iter().all(|(a, b)| a.is_nan() || b.is_nan());
        if nan && !regular {
            report.skip(LEFT_OPEN, 1);
        } else if let (true, true, Some(words)) = (nan, (site.row.otherwise)(&x), site.row.kinks.first()) {
            report.skip(words, 1);
        } else {
            let dtype = site.dtype;
            report.failures.push(format!("{dtype} at {x:?}: {what}: {got:?} instead of {want:?}"));
        }
    }
}

/// Where a derivative or an argument is not finite, or its square is not.
const LEFT_OPEN: &str = "may be NaN in one order of the modes and a number in another";

/// What was found at every point: by reverse mode the gradient `[k, m]` and the Hessian `[k, k, m]`, and how large numbers
/// are that round beside them.
struct Derivatives {
    gradient: Vec<f64>,
    hessian: Vec<f64>,
    sizes: Vec<f64>,
}

fn columns(
    site: &Site<'_>,
    composition: Composition,
    context: Context,
    x: &Tensor,
    only: Option<usize>,
) -> Vec<f64> {
    let f = |x: &Tensor| site.value(x);
    let directions = only.map_or(0..site.k, |j| j..j + 1);
    let mut out = Vec::new();
    for j in directions {
        let v = site.unit(j);
        if composition == Composition::ForwardForward {
            for i in 0..site.k {
                out.extend(numbers(&composition.product(context, &f, x, &v, &site.unit(i))));
            }
        } else {
            out.extend(numbers(&composition.product(context, &f, x, &v, &v)));
        }
    }
    out
}

fn check_site(site: &Site<'_>, turn: usize, report: &mut Report) {
    let x = site.tensor(&site.x);
    let f = |x: &Tensor| site.value(x);
    let (k, m) = (site.k, site.m);
    let slope = numbers(&gradient(Context::Plain, &f, &x));
    let forward = |context, only: Option<usize>| -> Vec<f64> {
        only.map_or(0..k, |j| j..j + 1)
            .flat_map(|i| numbers(&along(context, &f, &x, &site.unit(i))))
            .collect()
    };
    let value = numbers(&f(&x));
    let size = |p: usize| {
        let extent = largest(site.point(p).into_iter()).max(1.0);
        let slopes = (0..k).map(|i| slope[i * m + p]);
        (largest([value[p]].into_iter()) / extent).max(largest(slopes)) * extent.powi(site.row.cancels)
    };
    let sizes: Vec<f64> = (0..m).map(size).collect();
    compare(site, &sizes, "forward", &forward(Context::Plain, None), &slope, report);
    let want = columns(site, Composition::ReverseReverse, Context::Plain, &x, None);
    let mirrored: Vec<f64> = (0..k * k * m)
        .map(|at| {
            let (j, i, p) = (at / (k * m), at / m % k, at % m);
            want[(i * k + j) * m + p]
        })
        .collect();
    compare(site, &sizes, "symmetry", &mirrored, &want, report);
    for composition in &Composition::ALL[1..] {
        let got = columns(site, *composition, Context::Plain, &x, None);
        compare(site, &sizes, &format!("{composition:?}"), &got, &want, report);
    }
    for (n, &context) in Context::AROUND.iter().enumerate() {
        if site.dtype == DType::F32 && context != Context::Jit {
            continue;
        }
        let j = (turn + n) % k;
        compare(
            site,
            &sizes,
            &format!("gradient in {context:?}"),
            &numbers(&gradient(context, &f, &x)),
            &slope,
            report,
        );
        let along = forward(context, Some(j));
        compare(site, &sizes, &format!("forward in {context:?}"), &along, &slope[j * m..(j + 1) * m], report);
        for composition in Composition::ALL {
            let got = columns(site, composition, context, &x, Some(j));
            let what = format!("{composition:?} in {context:?}");
            compare(site, &sizes, &what, &got, &want[j * k * m..(j + 1) * k * m], report);
        }
    }
    let found = Derivatives { gradient: slope, hessian: want, sizes };
    conventions::check(site, &found, report);
    if site.dtype == DType::F64 {
        differences::check(site, &found, report);
        if site.row.elementwise && k == 1 {
            differences::limits(site, &found, report);
        }
    }
}

/// Checks one function.
pub fn check_row(row: &Row) -> Report {
    let mut report = Report::named(row.name);
    for dtype in [DType::F64, DType::F32] {
        for (turn, (k, m, x)) in row.sites(dtype).into_iter().enumerate() {
            check_site(&Site { row, dtype, k, m, x }, turn, &mut report);
        }
    }
    report
}

/// Checks the functions whose name contains `filter`, and that every operation has a row.
pub fn check(filter: &str) -> Vec<Report> {
    let chosen: Vec<Row> = rows().into_iter().filter(|r| r.name.contains(filter)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let parts: Vec<Vec<(usize, Report)>> = std::thread::scope(|scope| {
        let work = |first: usize| {
            let chosen = &chosen;
            move || -> Vec<(usize, Report)> {
                (first..chosen.len()).step_by(threads).map(|i| (i, check_row(&chosen[i]))).collect()
            }
        };
        let handles: Vec<_> = (0..threads).map(|first| scope.spawn(work(first))).collect();
        handles.into_iter().map(|h| h.join().unwrap_or_default()).collect()
    });
    let mut reports: Vec<(usize, Report)> = parts.into_iter().flatten().collect();
    reports.sort_by_key(|(at, _)| *at);
    let mut reports: Vec<Report> = reports.into_iter().map(|(_, r)| r).collect();
    if filter.is_empty() {
        reports.push(Report {
            compared: 1,
            failures: operations_without_row(),
            ..Report::named("every operation has a row")
        });
        reports.push(scalar::check());
    }
    reports
}
