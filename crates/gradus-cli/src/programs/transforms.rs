//! Transforms of functions of lists of tensors, with arguments for them: each gives a function of the same form, so that
//! they compose, or a *law*, a function whose first half of results must agree with the second.

use gradus::{
    DType, Shape, Tensor, checkpoint, custom_jvp, grad, hessian, hvp, jacfwd, jacobian, jacrev, jit, jvp,
    linearize, value_and_grad, vjp, vmap,
};
use gradus_core::table::Rng;

use super::step::{Function, Kind, Program, Show, substituted};

/// Functions that printed programs need, defined and shown at once.
macro_rules! helpers {
    ($($item:item)+) => {
        $($item)+
        /// Their source.
        pub(crate) const HELPERS: &[&str] = &[$(stringify!($item)),+];
    };
}
helpers! {
    fn take(x: &[Tensor], at: &[usize]) -> Vec<Tensor> {
        at.iter().map(|&i| x[i].clone()).collect()
    }
    fn put(x: &[Tensor], at: &[usize], values: &[Tensor]) -> Vec<Tensor> {
        let mut x = x.to_vec();
        at.iter().zip(values).for_each(|(&i, v)| x[i] = v.clone());
        x
    }
    fn floats(y: &[Tensor]) -> Vec<Tensor> {
        y.iter().filter(|t| t.dtype().is_float()).cloned().collect()
    }
    fn total(y: &[Tensor]) -> Tensor {
        let y = floats(y);
        let part = |t: &Tensor| t.sin().sum(()).cast(y[0].dtype());
        y[1..].iter().fold(part(&y[0]), |sum, t| sum + part(t))
    }
    fn few(y: &[Tensor], n: usize) -> Tensor {
        floats(y)[0].flatten().slice(0, ..n as isize)
    }
    fn inner(x: &[Tensor], y: &[Tensor]) -> Tensor {
        let part = |(x, y): (&Tensor, &Tensor)| (x * y).sum(()).cast(DType::F64);
        x.iter().zip(y).map(part).fold(Tensor::from(0.0), |sum, p| sum + p)
    }
}

/// A function, arguments for it, and what it gives.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) function: Function,
    pub(crate) args: Vec<Tensor>,
    pub(crate) results: Vec<Kind>,
    /// A closure a stage, each on those before it.
    pub(crate) text: Vec<String>,
    /// Whether the results are two lists that must agree.
    pub(crate) law: bool,
}

/// Transforms by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transform {
    Grad,
    ValueAndGrad,
    Vjp,
    Jvp,
    Linearize,
    Vmap,
    Hvp,
    Hessian,
    Jacfwd,
    Jacrev,
    Jacobian,
    Checkpoint,
    Custom,
    Jit,
    /// ⟨J v, w⟩ = ⟨v, Jᵀ w⟩.
    Dot,
    /// A linearised function has the tangents of `jvp`.
    Linear,
    /// A batch is a loop.
    Batch,
    /// Forward and reverse Jacobians agree.
    Sides,
    /// A checkpoint changes no gradient.
    Kept,
    /// Forward over reverse is reverse over reverse.
    Orders,
}

impl Transform {
    pub(crate) const ALL: [Transform; 14] = [
        Transform::Grad,
        Transform::ValueAndGrad,
        Transform::Vjp,
        Transform::Jvp,
        Transform::Linearize,
        Transform::Vmap,
        Transform::Hvp,
        Transform::Hessian,
        Transform::Jacfwd,
        Transform::Jacrev,
        Transform::Jacobian,
        Transform::Checkpoint,
        Transform::Custom,
        Transform::Jit,
    ];
    pub(crate) const LAWS: [Transform; 6] = [
        Transform::Dot,
        Transform::Linear,
        Transform::Batch,
        Transform::Sides,
        Transform::Kept,
        Transform::Orders,
    ];
}

/// A closure over the function before it, `f`, as value and as text.
macro_rules! closure {
    ($f:ident; $depth:expr; |$x:ident| $body:expr $(; $($p:ident),+)?) => {{
        let text = substituted(
            stringify!($body),
            &[],
            &[(stringify!($f), format!("f{}", $depth)), $($((stringify!($p), Show::show(&$p))),+)?],
        );
        let text = format!("|{}: &Vec<Tensor>| -> Vec<Tensor> {{ {text} }}", stringify!($x));
        $($(let $p = Show::value(&$p);)+)?
        let function: Function = std::rc::Rc::new(move |$x: &Vec<Tensor>| $body);
        (function, text)
    }};
}

impl Stage {
    /// A program before any transform.
    pub(crate) fn of(program: &Program, values: &[Tensor]) -> Self {
        Stage {
            function: program.function(),
            args: program.arguments(),
            results: program.outputs.iter().map(|&o| Kind::of(&values[o])).collect(),
            text: vec![format!("|x: &Vec<Tensor>| -> Vec<Tensor> {{\n{}    }}", program.body("        "))],
            law: false,
        }
    }

    /// Numbers that cost about as much as running it.
    pub(crate) fn elements(&self) -> usize {
        self.args.iter().map(Tensor::size).sum::<usize>()
            + self.results.iter().map(|k| k.shape.size()).sum::<usize>()
    }

    /// This under a transform; `None` where that makes no sense or is too large.
    pub(crate) fn under(&self, transform: Transform, limit: usize, rng: &mut Rng) -> Option<Stage> {
        let f = self.function.clone();
        let depth = self.text.len() - 1;
        let at: Vec<usize> = (0..self.args.len()).filter(|&i| self.args[i].dtype().is_float()).collect();
        let float_args: Vec<Kind> = at.iter().map(|&i| Kind::of(&self.args[i])).collect();
        let float_results: Vec<Kind> = self.results.iter().filter(|k| k.dtype.is_float()).cloned().collect();
        let smooth = !at.is_empty() && !float_results.is_empty();
        let mut args = self.args.clone();
        let n = args.len();
        let mut extra = |rng: &mut Rng, kinds: &[Kind]| {
            for k in kinds {
                let v: Vec<f64> = (0..k.shape.size()).map(|_| rng.signed()).collect();
                args.push(Tensor::new(k.shape.clone(), v).expect("as many as its shape has").cast(k.dtype));
            }
        };
        // The argument and the results a Jacobian is of.
        let narrow =
            at.iter().copied().filter(|&i| self.args[i].size() <= 12).max_by_key(|&i| self.args[i].size());
        let count = float_results.first().map_or(0, |k| k.shape.size().min(6));
        let jacobian_of = |i: usize| {
            let shape = Shape::from([count]).concat(self.args[i].shape());
            Kind { dtype: float_results[0].dtype, shape }
        };
        let mut law = false;
        let ((function, text), results) = match transform {
            Transform::Grad if smooth => (
                closure!(f; depth; |x| grad(|d: &Vec<Tensor>| total(&f(&put(x, &at, d))))(&take(x, &at)); at),
                float_args,
            ),
            Transform::ValueAndGrad if smooth => {
                let value = Kind { dtype: float_results[0].dtype, shape: Shape::scalar() };
                (
                    closure!(f; depth; |x| {
                        let (v, g) = value_and_grad(|d: &Vec<Tensor>| total(&f(&put(x, &at, d))))(&take(x, &at));
                        [vec![v], g].concat()
                    }; at),
                    [vec![value], float_args].concat(),
                )
            }
            Transform::Vjp if smooth => {
                extra(rng, &float_results);
                (
                    closure!(f; depth; |x| {
                        let (x, ct) = x.split_at(n);
                        let (y, pull) = vjp(|d: &Vec<Tensor>| floats(&f(&put(x, &at, d))), &take(x, &at));
                        [y, pull(&ct.to_vec())].concat()
                    }; n, at),
                    [float_results, float_args].concat(),
                )
            }
            Transform::Jvp if smooth => {
                extra(rng, &float_args);
                (
                    closure!(f; depth; |x| {
                        let (x, dx) = x.split_at(n);
                        let (y, dy) = jvp(|d: &Vec<Tensor>| floats(&f(&put(x, &at, d))), &take(x, &at), &dx.to_vec());
                        [y, dy].concat()
                    }; n, at),
                    [float_results.clone(), float_results].concat(),
                )
            }
            Transform::Linearize if smooth => {
                extra(rng, &float_args);
                (
                    closure!(f; depth; |x| {
                        let (x, dx) = x.split_at(n);
                        let (y, push) = linearize(|d: &Vec<Tensor>| floats(&f(&put(x, &at, d))), &take(x, &at));
                        [y, push(&dx.to_vec())].concat()
                    }; n, at),
                    [float_results.clone(), float_results].concat(),
                )
            }
            Transform::Hvp if smooth => {
                extra(rng, &float_args);
                (
                    closure!(f; depth; |x| {
                        let (x, dx) = x.split_at(n);
                        hvp(|d: &Vec<Tensor>| total(&f(&put(x, &at, d))), &take(x, &at), &dx.to_vec())
                    }; n, at),
                    float_args,
                )
            }
            Transform::Vmap | Transform::Batch if n > 0 => {
                let size = [1, 2, 2, 3, 0][rng.below(if transform == Transform::Vmap { 5 } else { 4 })];
                args = args.iter().map(|t| batched(t, size, rng)).collect();
                let mapped = |k: &Kind| Kind { dtype: k.dtype, shape: k.shape.insert(0, size) };
                let results: Vec<Kind> = self.results.iter().map(mapped).collect();
                if transform == Transform::Vmap {
                    (closure!(f; depth; |x| vmap(|x: &Vec<Tensor>| f(x))(x)), results)
                } else {
                    law = true;
                    (
                        closure!(f; depth; |x| {
                            let row = |i: usize| f(&x.iter().map(|t| t.index(0, i as isize)).collect());
                            let rows: Vec<Vec<Tensor>> = (0..size).map(row).collect();
                            let column = |k: usize| Tensor::stack(&rows.iter().map(|r| &r[k]).collect::<Vec<_>>(), 0);
                            let all = vmap(|x: &Vec<Tensor>| f(x))(x);
                            let each: Vec<Tensor> = (0..all.len()).map(column).collect();
                            [all, each].concat()
                        }; size),
                        [results.clone(), results].concat(),
                    )
                }
            }
            Transform::Hessian if smooth => {
                let i = narrow.filter(|&i| self.args[i].size() <= 6)?;
                let shape = self.args[i].shape().concat(self.args[i].shape());
                (
                    closure!(f; depth; |x| {
                        vec![hessian(|d: &Tensor| total(&f(&put(x, &[i], std::slice::from_ref(d)))))(&x[i])]
                    }; i),
                    vec![Kind { dtype: self.args[i].dtype(), shape }],
                )
            }
            Transform::Jacfwd if smooth => {
                let i = narrow?;
                (
                    closure!(f; depth; |x| {
                        vec![jacfwd(|d: &Tensor| few(&f(&put(x, &[i], std::slice::from_ref(d))), count))(&x[i])]
                    }; i, count),
                    vec![jacobian_of(i)],
                )
            }
            Transform::Jacrev if smooth => {
                let i = narrow?;
                let kind = Kind { dtype: self.args[i].dtype(), ..jacobian_of(i) };
                (
                    closure!(f; depth; |x| {
                        vec![jacrev(|d: &Tensor| few(&f(&put(x, &[i], std::slice::from_ref(d))), count))(&x[i])]
                    }; i, count),
                    vec![kind],
                )
            }
            Transform::Jacobian if smooth => {
                let i = narrow?;
                // Which side is chosen decides the dtype where argument and result differ.
                if self.args[i].dtype() != float_results[0].dtype {
                    return None;
                }
                (
                    closure!(f; depth; |x| {
                        vec![jacobian(|d: &Tensor| few(&f(&put(x, &[i], std::slice::from_ref(d))), count))(&x[i])]
                    }; i, count),
                    vec![jacobian_of(i)],
                )
            }
            Transform::Checkpoint => {
                (closure!(f; depth; |x| checkpoint(|x: &Vec<Tensor>| f(x))(x)), self.results.clone())
            }
            Transform::Custom if smooth => (
                closure!(f; depth; |x| {
                    let inside = |d: &Vec<Tensor>| floats(&f(&put(x, &at, d)));
                    custom_jvp(inside, |d, dd| linearize(inside, d).1(dd))(&take(x, &at))
                }; at),
                float_results,
            ),
            Transform::Jit => {
                (closure!(f; depth; |x| jit(|x: &Vec<Tensor>| f(x)).call(x)), self.results.clone())
            }
            Transform::Dot if smooth => {
                law = true;
                extra(rng, &float_args);
                extra(rng, &float_results);
                let m = float_args.len();
                let scalar = Kind { dtype: DType::F64, shape: Shape::scalar() };
                (
                    closure!(f; depth; |x| {
                        let (x, ct) = x.split_at(n + m);
                        let (x, dx) = x.split_at(n);
                        let inside = |d: &Vec<Tensor>| floats(&f(&put(x, &at, d)));
                        let (_, dy) = jvp(inside, &take(x, &at), &dx.to_vec());
                        let (_, pull) = vjp(inside, &take(x, &at));
                        vec![inner(&dy, ct), inner(dx, &pull(&ct.to_vec()))]
                    }; n, m, at),
                    vec![scalar.clone(), scalar],
                )
            }
            Transform::Linear if smooth => {
                law = true;
                extra(rng, &float_args);
                (
                    closure!(f; depth; |x| {
                        let (x, dx) = x.split_at(n);
                        let inside = |d: &Vec<Tensor>| floats(&f(&put(x, &at, d)));
                        let (_, push) = linearize(inside, &take(x, &at));
                        [push(&dx.to_vec()), jvp(inside, &take(x, &at), &dx.to_vec()).1].concat()
                    }; n, at),
                    [float_results.clone(), float_results].concat(),
                )
            }
            Transform::Sides if smooth => {
                law = true;
                let i = narrow?;
                (
                    closure!(f; depth; |x| {
                        let inside = |d: &Tensor| few(&f(&put(x, &[i], std::slice::from_ref(d))), count);
                        vec![jacfwd(inside)(&x[i]).cast(DType::F64), jacrev(inside)(&x[i]).cast(DType::F64)]
                    }; i, count),
                    vec![Kind { dtype: DType::F64, ..jacobian_of(i) }; 2],
                )
            }
            Transform::Kept if smooth => {
                law = true;
                (
                    closure!(f; depth; |x| {
                        let plain = grad(|d: &Vec<Tensor>| total(&f(&put(x, &at, d))))(&take(x, &at));
                        let kept = checkpoint(|d: &Vec<Tensor>| total(&f(&put(x, &at, d))));
                        [plain, grad(kept)(&take(x, &at))].concat()
                    }; at),
                    [float_args.clone(), float_args].concat(),
                )
            }
            Transform::Orders if smooth => {
                law = true;
                extra(rng, &float_args);
                (
                    closure!(f; depth; |x| {
                        let (x, dx) = x.split_at(n);
                        let slope = |d: &Vec<Tensor>| grad(|d: &Vec<Tensor>| total(&f(&put(x, &at, d))))(d);
                        let forward = jvp(slope, &take(x, &at), &dx.to_vec()).1;
                        let reverse = grad(|d: &Vec<Tensor>| inner(&slope(d), dx))(&take(x, &at));
                        [forward, reverse].concat()
                    }; n, at),
                    [float_args.clone(), float_args].concat(),
                )
            }
            _ => return None,
        };
        let text = [self.text.clone(), vec![text]].concat();
        let stage = Stage { function, args, results, text, law };
        (stage.elements() <= limit).then_some(stage)
    }
}

/// Other values like these, along a new first axis.
fn batched(t: &Tensor, size: usize, rng: &mut Rng) -> Tensor {
    let row = |_| {
        let scale = 1.0 - 0.125 * rng.below(3) as f64;
        if t.dtype().is_float() { (t * scale).cast(t.dtype()) } else { t.clone() }
    };
    let rows: Vec<Tensor> = (0..size).map(row).collect();
    if size == 0 {
        return Tensor::zeros(t.shape().insert(0, 0), t.dtype());
    }
    Tensor::stack(&rows.iter().collect::<Vec<_>>(), 0)
}
