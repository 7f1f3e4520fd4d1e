//! The functions, what of the library each stands for, and the lines of `docs/kinks.md` for where it has no derivative.

use gradus::num::{Curve, Entry, Unary, for_each_unary};
use gradus::{
    Axes, DType, Key, Stencil, Tensor, all_gather, cond, pmax, pmean, pmin, psum, psum_scatter, scan, vmap,
    vmap_named, while_loop,
};
use gradus_nn::layers::{
    Activation, Attention, BatchNorm, Conv2d, Dropout, Embedding, LayerNorm, Linear, Mlp,
};
use gradus_nn::loss::{self, Over};
use gradus_nn::{Mask, Model, attention, clip_by_norm, global_norm, optim::cast_floats};

use super::conventions;
use super::points::{LINE, PLANE, SPACE, in_range};

/// Independent points, coordinates first.
pub(super) type Points = (usize, usize, Vec<f64>);

/// A function.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Public functions and operations that it stands for.
    pub covers: Vec<&'static str>,
    /// Whether elements of the result depend on the elements of the arguments at the same place alone.
    pub elementwise: bool,
    /// How many arguments, or elements of the one.
    pub inputs: usize,
    /// The function: of arguments of one shape, or of one vector.
    pub function: Box<dyn Fn(&[Tensor]) -> Tensor + Send + Sync>,
    /// Sentences of `docs/kinks.md`.
    pub kinks: &'static [&'static str],
    /// Where the derivative is another than that of the function, as those sentences say.
    pub otherwise: fn(&[f64]) -> bool,
    /// Powers of the arguments by which rounding beside what cancels is larger than the results.
    pub cancels: i32,
}

impl Row {
    /// The points of the function.
    pub(super) fn sites(&self, dtype: DType) -> Vec<Points> {
        let fit = |x: &f64| in_range(*x, dtype);
        if !self.elementwise {
            let point = |p: &[f64]| (self.inputs, 1, p.iter().cycle().take(self.inputs).map(fit).collect());
            return SPACE.iter().copied().chain(conventions::points(self.name)).map(point).collect();
        }
        let points: Vec<Vec<f64>> = match self.inputs {
            1 => LINE.iter().map(|&x| vec![x]).collect(),
            2 => PLANE.iter().flat_map(|&x| PLANE.iter().map(move |&y| vec![x, y])).collect(),
            _ => [-1.0, 0.0, -0.0, 1.0, 2.0, 3.0, f64::INFINITY, f64::NAN]
                .iter()
                .flat_map(|&x| {
                    [[0.0, 2.0], [2.0, 0.0], [1.0, 1.0], [f64::NAN, 1.0]].map(|b| vec![x, b[0], b[1]])
                })
                .collect(),
        };
        let m = points.len();
        let by_coordinate = (0..self.inputs).flat_map(|i| points.iter().map(move |p| p[i]));
        let x = by_coordinate.map(|x| fit(&x)).collect();
        let mut sites = vec![(self.inputs, m, x)];
        sites.extend(conventions::points(self.name).map(|p| (self.inputs, 1, p.to_vec())));
        sites
    }

    fn covers(mut self, names: &[&'static str]) -> Self {
        self.covers.extend(names);
        self
    }

    fn otherwise(mut self, at: fn(&[f64]) -> bool) -> Self {
        self.otherwise = at;
        self
    }

    /// Where terms cancel (`docs/kinks.md`, `softmax` with nearly all of the weight on one element), the tolerance grows with the
    /// largest argument raised to `powers`.
    fn cancels(mut self, powers: i32) -> Self {
        self.cancels = powers;
        self
    }

    /// What the entry of an element-wise function states.
    fn stated(self, entry: &'static Entry) -> Self {
        let row = Row { kinks: entry.kinks, ..self };
        if entry.curve == Curve::Step { row.otherwise(|x| x[0].abs() > 1e3) } else { row }
    }

    fn kinks(mut self, words: &'static [&'static str]) -> Self {
        self.kinks = words;
        self
    }
}

fn each(
    name: &'static str,
    inputs: usize,
    function: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
) -> Row {
    let plain = name.split('(').next().unwrap_or(name);
    let function = Box::new(function);
    let (kinks, otherwise) = (&[][..], (|_: &[f64]| false) as fn(&[f64]) -> bool);
    Row { name, covers: vec![plain], elementwise: true, inputs, function, kinks, otherwise, cancels: 0 }
}

fn one(name: &'static str, function: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Row {
    each(name, 1, move |x| function(&x[0]))
}

fn two(name: &'static str, function: impl Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static) -> Row {
    each(name, 2, move |x| function(&x[0], &x[1]))
}

fn whole(
    name: &'static str,
    inputs: usize,
    function: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static,
) -> Row {
    Row { elementwise: false, ..each(name, inputs, move |x| function(&x[0])) }
}

macro_rules! unary {
    ($($name:ident $Op:ident $family:ident $entry:tt)*) => {
        vec![$(one(stringify!($name), Tensor::$name).stated(Unary::$Op.entry())),*]
    };
}

const CORNER: &[&str] = &["the branch taken"];
const ROOT: &[&str] = &["`sqrt(x * x)` at 0"];
const TIE: &[&str] = &["neither operand is preferred"];

/// All of them.
pub fn rows() -> Vec<Row> {
    let mut all = elementwise();
    all.extend(binary());
    all.extend(reductions());
    all.extend(structure());
    all.extend(products());
    all.extend(losses());
    all.extend(layers());
    all
}

fn elementwise() -> Vec<Row> {
    let mut all = for_each_unary!(unary);
    for (name, f) in [
        ("square", Tensor::square as fn(&Tensor) -> Tensor),
        ("gelu", Tensor::gelu),
        ("gelu_tanh", Tensor::gelu_tanh),
        ("silu", Tensor::silu),
        ("mish", Tensor::mish),
        ("log_sigmoid", Tensor::log_sigmoid),
    ] {
        all.push(one(name, f));
    }
    all.push(one("neg", |x| -x));
    all.push(one("stop_gradient", Tensor::stop_gradient).kinks(&["by definition"]).otherwise(|_| true));
    all.push(one("relu", Tensor::relu).kinks(CORNER));
    all.push(one("relu6", Tensor::relu6).kinks(CORNER));
    all.push(one("leaky_relu", |x| x.leaky_relu(0.1)).kinks(CORNER));
    all.push(one("elu", |x| x.elu(0.7)).kinks(CORNER));
    all.push(one("selu", Tensor::selu).kinks(CORNER));
    all.push(one("hard_tanh", Tensor::hard_tanh).kinks(CORNER));
    all.push(one("hard_sigmoid", Tensor::hard_sigmoid).kinks(CORNER));
    all.push(one("hard_swish", Tensor::hard_swish).kinks(CORNER));
    for (name, a) in [
        ("apply(relu)", Activation::Relu),
        ("apply(gelu)", Activation::Gelu),
        ("apply(gelu_tanh)", Activation::GeluTanh),
        ("apply(silu)", Activation::Silu),
        ("apply(mish)", Activation::Mish),
        ("apply(tanh)", Activation::Tanh),
    ] {
        all.push(one(name, move |x| a.apply(x)).kinks(CORNER));
    }
    for n in 0..3 {
        let name = ["polygamma(0)", "polygamma(1)", "polygamma(2)"][n as usize];
        all.push(one(name, move |x| x.polygamma(n)));
    }
    for (name, n) in
        [("powi(0)", 0), ("powi(1)", 1), ("powi(2)", 2), ("powi(3)", 3), ("powi(-1)", -1), ("powi(-2)", -2)]
    {
        all.push(one(name, move |x| x.powi(n)));
    }
    for (name, p) in [
        ("powf(0)", 0.0),
        ("powf(0.5)", 0.5),
        ("powf(1)", 1.0),
        ("powf(1.5)", 1.5),
        ("powf(2)", 2.0),
        ("powf(3)", 3.0),
        ("powf(-1)", -1.0),
    ] {
        all.push(one(name, move |x| x.powf(p)));
    }
    all.push(
        one("cast", |x| {
            let wide = if x.dtype() == DType::F64 { DType::F32 } else { DType::F64 };
            let narrow = x.clamp(-1e30, 1e30).cast(wide);
            narrow.cast(x.dtype())
        })
        .kinks(&["that of the numbers, not of their rounding"])
        .otherwise(|_| true),
    );
    all.push(
        one("clamp(x, -1, 2)", |x| x.clamp(-1.0, 2.0)).kinks(&["a parameter on its bound can leave it"]),
    );
    all.push(one("maximum(x, 0)", |x| x.maximum(0.0)).kinks(TIE));
    all.push(one("times zero", |x| x * 0.0));
    all.push(one("ln", |x| x.ln()));
    all.push(
        one("trunc", |x| x.trunc())
            .kinks(&["0 everywhere, the steps included"])
            .otherwise(|x| x[0].abs() > 1e3),
    );
    all.push(
        one("nan_to_num", |x| x.nan_to_num(0.0))
            .kinks(&["a number that depends on nothing"])
            .otherwise(|x| !x[0].is_finite()),
    );
    all.push(
        one("select(sqrt)", |x| x.greater(0.0).select(x.sqrt(), 0.0))
            .covers(&["where_", "select", "gt"])
            .kinks(CORNER),
    );
    all.push(one("where_", |x| Tensor::where_(&x.less(1.0), x.sin(), x.cos())).covers(&["lt"]).kinks(CORNER));
    all.push(
        one("cond", |x| {
            vmap(|x: &Tensor| cond(&x.greater(0.5), x, |x: &Tensor| x.square(), |x: &Tensor| x.sqrt()))(x)
        })
        .covers(&["vmap"])
        .kinks(CORNER),
    );
    all.push(one("while_loop", |x| {
        let start = (x.clone(), Tensor::from(0i64));
        while_loop(&start, |(_, k)| k.less(3), |(y, k)| (y * x * 0.5 + y.atan(), k + 1)).0
    }));
    all.push(
        one("scan", |x| {
            let steps = Tensor::arange(3, DType::F64).cast(x.dtype());
            scan(x, &steps, |y: &Tensor, s: &Tensor| (y * x + s, ())).0
        })
        .covers(&["recurrence", "replay"]),
    );
    all
}

fn binary() -> Vec<Row> {
    vec![
        two("add", |x, y| x + y),
        two("sub", |x, y| x - y),
        two("mul", |x, y| x * y).covers(&["linear_mul"]),
        two("div", |x, y| x / y),
        two("rem", |x, y| x % y)
            .kinks(&["the derivative from the right"])
            .otherwise(|x| (x[0] / x[1]).abs() > 1e2 || x[1].abs() < 1e-2),
        two("pow", |x, y| x.pow(y))
            .covers(&["powf"])
            .kinks(&["in `x` alone a number, else NaN"])
            .otherwise(|x| x[0] < 0.0),
        two("atan2", |x, y| x.atan2(y)),
        two("remainder", |x, y| x.remainder(y))
            .covers(&["floor_divide"])
            .kinks(&["the derivative from the right"])
            .otherwise(|x| (x[0] / x[1]).abs() > 1e2 || x[1].abs() < 1e-2),
        two("copysign", |x, y| x.copysign(y)).kinks(CORNER),
        two("hypot", |x, y| x.hypot(y)).kinks(&["the middle of the unit disc"]),
        two("maximum", |x, y| x.maximum(y)).covers(&["max"]).kinks(TIE),
        two("minimum", |x, y| x.minimum(y)).covers(&["min"]).kinks(TIE),
        two("select", |x, y| x.less_equal(y).select(x * y, y)).covers(&["le"]).kinks(CORNER),
        each("clamp", 3, |x| x[0].clamp(&x[1], &x[2])).kinks(&["a parameter on its bound can leave it"]),
        two("mse(each)", |x, y| loss::mse_over(x, y, &Over::all().each()))
            .covers(&["mse_over", "each", "sum"]),
        two("mae(each)", |x, y| loss::mae_over(x, y, &Over::all().each()))
            .covers(&["mae_over"])
            .kinks(&["the middle of [-1, 1]"]),
        two("huber(each)", |x, y| loss::huber_over(x, y, 1.5, &Over::all().each()))
            .covers(&["huber_over"])
            .kinks(CORNER),
        two("binary_cross_entropy(each)", |x, y| loss::binary_cross_entropy_over(x, y, &Over::all().each()))
            .covers(&["binary_cross_entropy_over"]),
    ]
}

fn rows_of(x: &Tensor, n: usize) -> Tensor {
    x.reshape([x.size() / n, n])
}

fn reductions() -> Vec<Row> {
    const UNIT: &[&str] = &["the origin"];
    vec![
        whole("sum", 3, |x| x.sum(())).covers(&["reduce_sum"]),
        whole("mean", 3, |x| x.mean(())),
        whole("prod", 3, |x| x.prod(())).covers(&["reduce_prod"]),
        whole("max", 3, |x| x.max(())).covers(&["reduce_max"]).kinks(&["`k` elements tie"]),
        whole("min", 3, |x| x.min(())).covers(&["reduce_min"]).kinks(&["`k` elements tie"]),
        whole("max by rows", 6, |x| rows_of(x, 3).max(Axes::keep(1)))
            .covers(&["keep"])
            .kinks(&["`k` elements tie"]),
        whole("var", 3, |x| x.var((), 0)),
        whole("var(1)", 3, |x| x.var((), 1)),
        whole("std", 3, |x| x.std((), 0)).kinks(&["equal elements"]),
        whole("std(1)", 3, |x| x.std((), 1)).kinks(&["equal elements"]),
        whole("norm", 3, |x| x.norm(())).kinks(UNIT),
        whole("norm by rows", 6, |x| rows_of(x, 3).norm(1)).kinks(UNIT),
        whole("norm_p(1)", 3, |x| x.norm_p(1.0, ())).kinks(&["the middle of [-1, 1]"]),
        whole("norm_p(1.5)", 3, |x| x.norm_p(1.5, ())).kinks(UNIT).otherwise(|x| x.contains(&0.0)),
        whole("norm_p(3)", 3, |x| x.norm_p(3.0, ())).kinks(UNIT),
        whole("norm_p(inf)", 3, |x| x.norm_p(f64::INFINITY, ())).kinks(&["`k` elements tie"]),
        whole("standardize", 3, |x| x.standardize((), 1e-5)),
        whole("standardize(0)", 3, |x| x.standardize((), 0.0)).kinks(&["equal elements"]),
        whole("softmax", 3, |x| x.softmax(0)),
        whole("log_softmax", 3, |x| x.log_softmax(0)),
        whole("logsumexp", 3, |x| x.logsumexp(())),
        whole("cumsum", 3, |x| x.cumsum(0)),
        whole("cumprod", 3, |x| x.cumprod(0)),
        whole("sort", 3, |x| x.sort(0)).kinks(&["the sort is stable"]),
        whole("top_k", 4, |x| x.top_k(2, 0).0).kinks(&["the sort is stable"]),
        whole("argmax", 3, |x| {
            let at = x.argmax(0).expand_dims(0);
            x.take(&at, 0)
        })
        .covers(&["argmin", "argsort", "gather"])
        .kinks(&["the first index"]),
        whole("global_norm", 3, |x| global_norm(&(x.slice(0, ..1), x.slice(0, 1..)))).kinks(UNIT),
        whole("clip_by_norm", 3, |x| clip_by_norm(x, 0.75).0).kinks(&["the factor is 1"]),
        whole("max_pool", 4, |x| x.reshape([1, 1, 4]).max_pool(&[2], &Stencil::new(1)))
            .covers(&["stride", "strides", "padding", "paddings", "dilation", "groups", "new"])
            .kinks(&["the first in row-major order"]),
        whole("max_pool2d", 4, |x| x.reshape([1, 1, 2, 2]).max_pool2d(2))
            .kinks(&["the first in row-major order"]),
        whole("avg_pool", 4, |x| x.reshape([1, 1, 4]).avg_pool(&[2], &Stencil::new(1))).covers(&["sum_pool"]),
        whole("avg_pool2d", 4, |x| x.reshape([1, 1, 2, 2]).avg_pool2d(2)),
        whole("quantile", 4, |x| x.quantile(0.4, 0)).kinks(&["the sort is stable"]).otherwise(ties),
        whole("median", 4, |x| x.median(0)).kinks(&["the sort is stable"]).otherwise(ties),
        whole("cummax", 3, |x| x.cummax(0)).kinks(&["the first index"]),
        whole("cummin", 3, |x| x.cummin(0)).kinks(&["the first index"]),
        whole("logcumsumexp", 3, |x| x.logcumsumexp(0)),
        whole("reverse_cumsum", 3, |x| x.reverse_cumsum(0)),
        // Examples of a batch, which a context of the oracle may map over once more.
        whole("psum", 3, |x| over_axis(x, |x| psum(&x.square(), AXIS) * x)),
        whole("pmean", 3, |x| over_axis(x, |x| (x - pmean(x, AXIS)).powi(3))),
        whole("pmax", 3, |x| over_axis(x, |x| pmax(x, AXIS))).kinks(&["`k` elements tie"]),
        whole("pmin", 3, |x| over_axis(x, |x| pmin(x, AXIS))).kinks(&["`k` elements tie"]),
        whole("all_gather", 3, |x| over_axis(x, |x| (all_gather(x, AXIS, 0) * x).sum(0))),
        whole("psum_scatter", 3, |x| {
            let all = x;
            over_axis(x, |x| psum_scatter(&(all * x), AXIS))
        })
        .covers(&["axis_index"]),
    ]
}

/// Whether arguments are equal.
fn ties(x: &[f64]) -> bool {
    x.iter().enumerate().any(|(i, a)| x[..i].contains(a))
}

/// The name of an axis that is mapped over.
const AXIS: &str = "examples";

fn over_axis(x: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    vmap_named(AXIS, f)(x)
}

/// Squares, so that there is a second derivative to move about.
fn moved(name: &'static str, n: usize, f: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Row {
    whole(name, n, move |x| f(&x.square()))
}

fn structure() -> Vec<Row> {
    let indices = || Tensor::from([2i64, 0, 2]);
    vec![
        moved("reshape", 4, |x| x.reshape([2, 2]).flatten().reshape([1, 4]).flatten_from(0))
            .covers(&["flatten", "flatten_from"]),
        moved("at", 3, |x| Tensor::stack(&x.iter().collect::<Vec<_>>(), 0).at(1) * x.at(-1))
            .covers(&["iter", "stack"]),
        moved("dynamic_slice", 3, |x| x.dynamic_slice(&Tensor::from(1i64), 2, 0)),
        moved("dynamic_update_slice", 3, |x| {
            x.dynamic_update_slice(&x.slice(0, ..2), &Tensor::from(1i64), 0)
        }),
        moved("scatter", 3, |x| x.scatter(&Tensor::from([2i64, 0, 2]), x, 0)),
        moved("scatter_mul", 3, |x| x.scatter_mul(&Tensor::from([2i64, 0, 2]), x, 0)),
        whole("scatter_max", 4, |x| {
            x.slice(0, ..1).scatter_max(&Tensor::from([0i64, 0, 0]), &x.slice(0, 1..), 0)
        })
        .kinks(&["`k` together"]),
        whole("scatter_min", 4, |x| {
            x.slice(0, ..1).scatter_min(&Tensor::from([0i64, 0, 0]), &x.slice(0, 1..), 0)
        })
        .kinks(&["`k` together"]),
        moved("gather_nd", 4, |x| x.reshape([2, 2]).gather_nd(&Tensor::from([[1i64, 0], [0, 1]]))),
        moved("masked_fill", 3, |x| x.masked_fill(&Tensor::from([true, false, true]), 2.0))
            .covers(&["masked_select"]),
        moved("meshgrid", 4, |x| {
            let grid = Tensor::meshgrid(&[&x.slice(0, ..2), &x.slice(0, 2..)]);
            &grid[0] * &grid[1]
        }),
        moved("permute", 4, |x| x.reshape([2, 2]).permute([1, 0]).swap_axes(0, 1).move_axis(0, 1).t())
            .covers(&["t", "swap_axes", "move_axis"]),
        moved("broadcast_to", 2, |x| x.broadcast_to([2, 2]).expand_dims(0).squeeze(0)).covers(&[
            "broadcast",
            "expand_dims",
            "squeeze",
            "broadcast_all",
        ]),
        moved("slice", 4, |x| x.slice(0, 1..).slice_step(0, .., 2).index(0, 0))
            .covers(&["slice_step", "index"]),
        moved("pad", 3, |x| x.pad(&[(1, 2)]).sqrt()).kinks(ROOT),
        moved("flip", 3, |x| x.flip(0).roll(1, 0)).covers(&["roll", "reverse"]),
        moved("concat", 4, |x| {
            let parts = x.split(&[1, 3], 0);
            let both = Tensor::concat(&[&parts[1], &parts[0].sqrt(), &x.slice(0, ..1)], 0);
            Tensor::stack(&[&both, &both], 1)
        })
        .covers(&["split", "stack"])
        .kinks(ROOT),
        moved("tile", 2, |x| x.tile(2, 0).repeat(2, 0)).covers(&["repeat"]),
        moved("tril", 4, |x| x.reshape([2, 2]).tril(0).sqrt() + x.reshape([2, 2]).triu(1))
            .covers(&["triu"])
            .kinks(ROOT),
        moved("take", 3, move |x| x.take(&indices(), 0).sqrt()).covers(&["gather", "rows"]).kinks(ROOT),
        moved("take_along_axis", 3, move |x| x.take_along_axis(&indices(), 0)).covers(&["labelled"]),
        moved("scatter_add", 3, move |x| x.scatter_add(&indices(), &x.sqrt(), 0)).kinks(ROOT),
        whole("one_hot", 3, |x| x.square() * Tensor::from(1i64).one_hot(3, x.dtype())),
        moved("diagonal", 4, |x| x.reshape([2, 2]).diagonal()),
        moved("trace", 4, |x| x.reshape([2, 2]).trace()),
    ]
}

fn products() -> Vec<Row> {
    let half = |x: &Tensor| (x.slice(0, ..4).reshape([2, 2]), x.slice(0, 4..).reshape([2, 2]));
    let ends = |x: &Tensor| (x.slice(0, ..2), x.slice(0, 2..));
    vec![
        whole("matmul", 8, move |x| {
            let (a, b) = half(x);
            a.matmul(&b)
        }),
        whole("dot", 4, move |x| {
            let (a, b) = ends(x);
            a.dot(&b)
        }),
        whole("outer", 4, move |x| {
            let (a, b) = ends(x);
            a.outer(&b)
        }),
        whole("tensordot", 8, move |x| {
            let (a, b) = half(x);
            a.tensordot(&b, &[0], &[1])
        }),
        whole("einsum", 8, move |x| {
            let (a, b) = half(x);
            Tensor::einsum("ij,kj->ik", &[&a, &b])
        }),
        whole("quadratic form", 6, |x| {
            let (a, v) = (x.slice(0, ..4).reshape([2, 2]), x.slice(0, 4..));
            a.matmul(&v).dot(&v)
        }),
        whole("conv", 6, |x| {
            let (image, kernel) = (x.slice(0, ..4).reshape([1, 1, 4]), x.slice(0, 4..).reshape([1, 1, 2]));
            image.conv(&kernel, &Stencil::new(1).padding(1))
        }),
        whole("conv2d", 8, |x| {
            let (image, kernel) =
                (x.slice(0, ..4).reshape([1, 1, 2, 2]), x.slice(0, 4..).reshape([1, 1, 2, 2]));
            image.conv2d(&kernel, 1, 1)
        }),
        whole("attention", 6, |x| {
            let [q, k, v] = [0, 2, 4].map(|i| x.slice(0, i..i + 2).reshape([2, 1]));
            attention(&q, &k, &v, Mask::None)
        }),
        whole("masked attention", 6, |x| {
            let [q, k, v] = [0, 2, 4].map(|i| x.slice(0, i..i + 2).reshape([2, 1]));
            let mask = Tensor::from([[true, false], [false, false]]);
            attention(&q, &k, &v, Mask::Of(&mask))
        }),
        whole("attention in a window", 6, |x| {
            let [q, k, v] = [0, 2, 4].map(|i| x.slice(0, i..i + 2).reshape([2, 1]));
            attention(&q, &k, &v, Mask::Window(1))
        })
        .cancels(3),
    ]
}

fn losses() -> Vec<Row> {
    let labels = || Tensor::from([1i64, 0]);
    let pair = |x: &Tensor| (x.slice(0, ..2), x.slice(0, 2..));
    let some = || Over::all().mask(&Tensor::from([true, false]));
    let targets = |x: &Tensor| Tensor::from([0.25, 1.0]).cast(x.dtype());
    vec![
        whole("mse", 4, move |x| {
            let (a, b) = pair(x);
            loss::mse(&a, &b)
        }),
        whole("mse(mask)", 4, move |x| {
            let (a, b) = pair(x);
            loss::mse_over(&a, &b, &some())
        })
        .covers(&["mask", "all"]),
        whole("mse(weights)", 4, move |x| {
            let (a, b) = pair(x);
            loss::mse_over(
                &a,
                &b.stop_gradient(),
                &Over::all().weights(&Tensor::from([2.0, 0.5]).cast(x.dtype())).sum(),
            )
        })
        .covers(&["weights"])
        .kinks(&["by definition"])
        .otherwise(|_| true),
        whole("mae", 4, move |x| {
            let (a, b) = pair(x);
            loss::mae(&a, &b)
        })
        .kinks(&["the middle of [-1, 1]"]),
        whole("huber", 4, move |x| {
            let (a, b) = pair(x);
            loss::huber(&a, &b, 1.5)
        })
        .kinks(CORNER),
        whole("binary_cross_entropy", 2, move |x| loss::binary_cross_entropy(x, &targets(x))),
        whole("cross_entropy", 6, move |x| loss::cross_entropy(&rows_of(x, 3), &labels())),
        whole("cross_entropy(ignore)", 6, move |x| {
            loss::cross_entropy_over(&rows_of(x, 3), &labels(), &Over::all().ignore(0))
        })
        .covers(&["cross_entropy_over", "ignore"]),
        whole("smooth_cross_entropy", 6, move |x| loss::smooth_cross_entropy(&rows_of(x, 3), &labels(), 0.1)),
        whole("smooth_cross_entropy(mask)", 6, move |x| {
            loss::smooth_cross_entropy_over(&rows_of(x, 3), &labels(), 0.1, &some())
        })
        .covers(&["smooth_cross_entropy_over"]),
        whole("smooth_cross_entropy(0)", 3, |x| {
            loss::smooth_cross_entropy(&rows_of(x, 3), &Tensor::from([1i64]), 0.0)
        }),
    ]
}

fn layers() -> Vec<Row> {
    let key = Key::new(7);
    let linear = Linear::new(&key, 2, 2);
    let mlp = Mlp::new(&key, &[2, 3, 1], Activation::Tanh);
    let conv = Conv2d::new(&key, 1, 1, 2).padding(1);
    let attend = Attention::new(&key, 2, 1);
    let causal = attend.clone().causal();
    let dropout = Dropout { rate: 0.5 };
    vec![
        whole("layer_norm", 3, |x| cast_floats(&LayerNorm::new(3), x.dtype()).forward(&rows_of(x, 3)))
            .covers(&["forward", "LayerNorm"]),
        whole("batch_norm", 3, |x| cast_floats(&BatchNorm::new(1), x.dtype()).train(&x.reshape([3, 1])).0)
            .covers(&["train"]),
        whole("batch_norm(evaluation)", 3, |x| {
            cast_floats(&BatchNorm::new(1), x.dtype()).forward(&x.reshape([3, 1]))
        }),
        whole("linear", 4, move |x| cast_floats(&linear, x.dtype()).forward(&rows_of(x, 2)).square())
            .covers(&["with", "without_bias"]),
        whole("mlp", 2, move |x| cast_floats(&mlp, x.dtype()).forward(&rows_of(x, 2), None))
            .covers(&["with_dropout"]),
        whole("conv layer", 4, move |x| {
            cast_floats(&conv, x.dtype()).forward(&x.reshape([1, 1, 2, 2])).square()
        })
        .covers(&["depthwise"]),
        whole("attention layer", 4, move |x| cast_floats(&attend, x.dtype()).forward(&x.reshape([1, 2, 2])))
            .cancels(3),
        whole("causal attention layer", 4, move |x| {
            cast_floats(&causal, x.dtype()).forward(&x.reshape([1, 2, 2]))
        })
        .covers(&["causal", "forward_masked"])
        .cancels(3),
        whole("embedding", 6, move |x| {
            let embedding = Embedding { weight: x.reshape([3, 2]) };
            embedding.forward(&Tensor::from([2i64, 2])).square()
        }),
        whole("dropout", 3, move |x| dropout.forward(x, Some(&Key::new(3))).square()),
    ]
}
