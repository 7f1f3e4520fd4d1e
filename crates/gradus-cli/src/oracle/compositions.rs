//! The ways in which a second derivative is taken, and what a function may lie in while it is.

use gradus::{
    Tensor, checkpoint, cond, custom_jvp, custom_vjp, grad, jit, jvp, linearize, scan, vjp, vmap, while_loop,
};

/// A function of one tensor.
pub type Function<'a> = &'a dyn Fn(&Tensor) -> Tensor;

/// What the function lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Plain,
    Vmap,
    Scan,
    Cond,
    While,
    CustomJvp,
    CustomVjp,
    Checkpoint,
    /// The whole derivative is compiled.
    Jit,
    /// The function is compiled, its derivatives are not.
    JitInside,
}

impl Context {
    /// All but [`Context::Plain`].
    pub const AROUND: &[Context] = &[
        Context::Vmap,
        Context::Scan,
        Context::Cond,
        Context::While,
        Context::CustomJvp,
        Context::CustomVjp,
        Context::Checkpoint,
        Context::Jit,
        Context::JitInside,
    ];

    /// The value of `f` at `x`, computed inside the context.
    fn apply(self, f: Function<'_>, x: &Tensor) -> Tensor {
        match self {
            Context::Plain | Context::Jit => f(x),
            Context::Vmap => vmap(|x: &Tensor| f(x))(&Tensor::stack(&[x, x], 0)).index(0, 1),
            Context::Scan => {
                let steps = Tensor::from([0.0, 1.0]);
                scan(x, &steps, |x: &Tensor, _: &Tensor| (x.clone(), f(x))).1.index(0, 1)
            }
            Context::Cond => {
                // True, as nobody knows beforehand.
                let always = (x.equal(x) | x.not_equal(x)).all(());
                cond(&always, x, |x: &Tensor| f(x), |x: &Tensor| f(x).zeros_like())
            }
            Context::While => {
                let start = (x.clone(), f(x).zeros_like(), Tensor::from(0i64));
                while_loop(&start, |(_, _, k)| k.less(1), |(x, _, k)| (x.clone(), f(x), k + 1)).1
            }
            Context::CustomJvp => custom_jvp(|x: &Tensor| f(x), |x, dx| linearize(f, x).1(dx))(x),
            Context::CustomVjp => {
                custom_vjp(|x: &Tensor| (f(x), x.clone()), |x: &Tensor, ct: &Tensor| vjp(f, x).1(ct))(x)
            }
            Context::Checkpoint => checkpoint(|x: &Tensor| f(x))(x),
            Context::JitInside => jit(|x: &Tensor| f(x)).call(x),
        }
    }
}

/// A composition of two modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composition {
    ReverseReverse,
    ReverseForward,
    ForwardReverse,
    ForwardForward,
}

impl Composition {
    pub const ALL: [Composition; 4] = [
        Composition::ReverseReverse,
        Composition::ReverseForward,
        Composition::ForwardReverse,
        Composition::ForwardForward,
    ];

    /// The Hessian of the sum of `f` times `v`, a tensor like `x`; of forward mode over forward mode only the product with `u`
    /// as well, elements like those of `f`.
    pub fn product(self, context: Context, f: Function<'_>, x: &Tensor, v: &Tensor, u: &Tensor) -> Tensor {
        let g = |x: &Tensor| context.apply(f, x);
        let total = |x: &Tensor| g(x).sum(());
        let taken = |x: &Tensor| match self {
            Composition::ReverseReverse => vjp(grad(total), x).1(v),
            Composition::ReverseForward => grad(|x: &Tensor| jvp(total, x, v).1)(x),
            Composition::ForwardReverse => jvp(grad(total), x, v).1,
            Composition::ForwardForward => jvp(|x: &Tensor| jvp(g, x, u).1, x, v).1,
        };
        if context == Context::Jit { jit(taken).call(x) } else { taken(x) }
    }
}

/// The gradient of the sum of `f`, by reverse mode, and by forward mode along each of `seeds`.
pub fn gradient(context: Context, f: Function<'_>, x: &Tensor) -> Tensor {
    let slope = |x: &Tensor| grad(|x: &Tensor| context.apply(f, x).sum(()))(x);
    if context == Context::Jit { jit(slope).call(x) } else { slope(x) }
}

/// The derivative of `f` along `u`.
pub fn along(context: Context, f: Function<'_>, x: &Tensor, u: &Tensor) -> Tensor {
    let slope = |x: &Tensor| jvp(|x: &Tensor| context.apply(f, x), x, u).1;
    if context == Context::Jit { jit(slope).call(x) } else { slope(x) }
}
