//! Rules of the user's own, and checkpoints.

use std::panic::Location;
use std::sync::Arc;

use gradus_core::ops::{Call, CallKind, Custom};
use gradus_core::transforms::{Linearity, check_linear, linear_form, transposed};
use gradus_core::{Builder, Error, ErrorKind, Graph, Result, Site, Type, Var};

use super::{CheckError, Recorded, check_grads, differentiable, record_body};
use crate::guard::guarded;
use crate::trace::{OrFail, at_line, emit, here};
use crate::{Tensor, Tree};

/// A function that keeps nothing for the backward pass but its argument: its intermediates are computed again there.
///
/// ```
/// use gradus::{Tensor, checkpoint, grad};
/// let f = |x: &Tensor| x.sin().exp().sum(());
/// let x = Tensor::from([0.3, 0.7]);
/// assert_eq!(grad(checkpoint(f))(&x), grad(f)(&x));
/// ```
#[track_caller]
pub fn checkpoint<A: Tree, B: Tree, F: Fn(&A) -> B>(f: F) -> impl Fn(&A) -> B {
    let site = here();
    move |x| {
        let call = || {
            let leaves = x.tensors();
            let types: Vec<Type> = leaves.iter().map(Tensor::ty).collect();
            let Recorded { graph, captures, result } = record_body("checkpoint", &types, x, &site, &f)?;
            let operands: Vec<Tensor> = leaves.into_iter().chain(captures).collect();
            let op = Call { kind: CallKind::Checkpoint, body: Arc::new(graph) }.into();
            Ok(result.with_tensors(emit(&op, &operands.iter().collect::<Vec<_>>(), &site)?))
        };
        let result: Result<B> = call();
        result.or_fail()
    }
}

/// A function with a derivative rule of the user's own, which then holds in every mode: `rule(x, dx)` gives the tangent
/// of the result and must be linear in `dx`; reverse mode is its transpose.
///
/// The rule is checked when it is first met at each shape: that it gives the types of the result, and that it is linear in
/// `dx`. [`check_grads`](crate::check_grads) compares it with finite differences.
///
/// The rule is the derivative by the argument. What `f` captures from a function that is being differentiated keeps its
/// derivative through `f`; what the rule captures has one in derivatives of the rule.
///
/// ```
/// use gradus::{Tensor, custom_jvp, grad};
/// // x log x with derivative 0 instead of -∞ at 0.
/// let xlogx = custom_jvp(
///     |x: &Tensor| x.greater(0.0).select(x * x.log(), 0.0),
///     |x, dx| x.greater(0.0).select(dx * (x.log() + 1.0), 0.0),
/// );
/// assert_eq!(grad(|x: &Tensor| xlogx(x).sum(()))(&Tensor::from([0.0, 1.0])), Tensor::from([0.0, 1.0]));
///
/// let x = Tensor::from(3.0);
/// let by_w = grad(|w: &Tensor| custom_jvp(|x: &Tensor| x * w, |_, dx| dx * w)(&x));
/// assert_eq!(by_w(&Tensor::from(2.0)), x);
/// ```
#[track_caller]
pub fn custom_jvp<A: Tree, B: Tree, F: Fn(&A) -> B, R: Fn(&A, &A) -> B>(f: F, rule: R) -> impl Fn(&A) -> B {
    let site = here();
    move |x| by_jvp("custom_jvp", false, |x| (f(x), ()), |x, _, (), dx| rule(x, dx), x, &site).or_fail()
}

/// [`custom_jvp_with_output`] for functions of the library: what is not recorded is computed as it stands, and every
/// operation has the line of the user's call.
#[track_caller]
pub fn with_own_rule<A: Tree, B: Tree>(x: &A, f: impl Fn(&A) -> B, rule: impl Fn(&A, &B, &A) -> B) -> B {
    let (line, site) = (Location::caller(), here());
    at_line(line, || {
        if !x.tensors().iter().any(Tensor::is_traced) {
            return f(x);
        }
        by_jvp("custom_jvp", true, |x| (f(x), ()), |x, y, (), dx| rule(x, y, dx), x, &site).or_fail()
    })
}

/// [`custom_jvp`] with a rule that sees the result as well: `rule(x, y, dx)`.
///
/// ```
/// use gradus::{Tensor, custom_jvp_with_output, grad, hessian};
/// let exp = custom_jvp_with_output(|x: &Tensor| x.exp(), |_, y, dx| y * dx);
/// let x = Tensor::from(0.5);
/// assert_eq!(grad(&exp)(&x), x.exp());
/// assert_eq!(hessian(&exp)(&x), x.exp());
/// ```
#[track_caller]
pub fn custom_jvp_with_output<A: Tree, B: Tree, F: Fn(&A) -> B, R: Fn(&A, &B, &A) -> B>(
    f: F,
    rule: R,
) -> impl Fn(&A) -> B {
    let site = here();
    move |x| by_jvp("custom_jvp", false, |x| (f(x), ()), |x, y, (), dx| rule(x, y, dx), x, &site).or_fail()
}

/// [`custom_jvp`] for a function that gives its rule more than the result: `f(x)` is the result and residuals, and
/// `rule(residuals, dx)` reads those. In derivatives of the rule, residuals have the derivative that `f` gives them.
///
/// ```
/// use gradus::{Tensor, custom_jvp_with_residuals, grad};
/// let root = custom_jvp_with_residuals(
///     |x: &Tensor| { let y = x.sqrt(); (y.clone(), y) },
///     |y, dx| dx / (y * 2.0),
/// );
/// assert_eq!(grad(root)(&Tensor::from(4.0)), Tensor::from(0.25));
/// ```
#[track_caller]
pub fn custom_jvp_with_residuals<A: Tree, B: Tree, S: Tree, F: Fn(&A) -> (B, S), R: Fn(&S, &A) -> B>(
    f: F,
    rule: R,
) -> impl Fn(&A) -> B {
    let site = here();
    move |x| by_jvp("custom_jvp", false, &f, |_, _, residuals, dx| rule(residuals, dx), x, &site).or_fail()
}

/// A function with a backward rule of the user's own: `forward(x)` is the result and residuals, and
/// `backward(residuals, ct)` gives the cotangent of the argument from that of the result. It must be linear in `ct`:
/// forward mode is its transpose, so that the rule holds in every mode, nested ones too.
///
/// Captures are treated as by [`custom_jvp`].
///
/// ```
/// use gradus::{Tensor, custom_vjp, grad, jvp};
/// let square = custom_vjp(|x: &Tensor| (x * x, x.clone()), |x, ct| ct * x * 2.0);
/// let x = Tensor::from(3.0);
/// assert_eq!(grad(&square)(&x), Tensor::from(6.0));
/// assert_eq!(jvp(&square, &x, &Tensor::from(1.0)).1, Tensor::from(6.0));
/// assert_eq!(grad(grad(&square))(&x), Tensor::from(2.0));
/// ```
#[track_caller]
pub fn custom_vjp<A: Tree, B: Tree, S: Tree, F: Fn(&A) -> (B, S), R: Fn(&S, &B) -> A>(
    forward: F,
    backward: R,
) -> impl Fn(&A) -> B {
    let site = here();
    move |x| by_vjp(&forward, &backward, x, &site).or_fail()
}

/// [`custom_jvp`] with the rule checked at registration: at `x` the tangents are compared with finite differences of `f`,
/// and the transpose with the tangents by the dot-product test, both along random directions. For rules that are meant
/// to be the derivative of `f`; use `f64`.
///
/// # Errors
/// The first disagreement.
///
/// ```
/// use gradus::{Tensor, custom_jvp_checked};
/// let x = Tensor::from([0.3, 0.7]);
/// assert!(custom_jvp_checked(|x: &Tensor| x.sin(), |x, dx| dx * x.cos(), &x).is_ok());
/// let error = custom_jvp_checked(|x: &Tensor| x.sin(), |x, dx| dx * x.sin(), &x).err().unwrap();
/// assert!(error.to_string().contains("finite differences"));
/// ```
#[track_caller]
pub fn custom_jvp_checked<A: Tree + 'static, B: Tree + 'static, F: Fn(&A) -> B, R: Fn(&A, &A) -> B>(
    f: F,
    rule: R,
    x: &A,
) -> std::result::Result<impl Fn(&A) -> B, CheckError> {
    let g = custom_jvp(f, rule);
    check_grads(&g, x, 1)?;
    Ok(g)
}

/// The value of a function with a rule: `(x, captures) -> (y, residuals)`.
struct Value<B, S> {
    graph: Graph,
    captures: Vec<Tensor>,
    y: B,
    residuals: S,
}

fn types<T: Tree>(tree: &T) -> Vec<Type> {
    tree.tensors().iter().map(Tensor::ty).collect()
}

fn copy<T: Tree>(tree: &T) -> T {
    tree.map(&mut Tensor::clone)
}

fn value<A: Tree, B: Tree, S: Tree>(
    op: &'static str,
    f: impl Fn(&A) -> (B, S),
    x: &A,
    site: &Site,
) -> Result<Value<B, S>> {
    differentiable(op, x, site)?;
    let Recorded { graph, captures, result: (y, residuals) } = record_body(op, &types(x), x, site, f)?;
    differentiable(op, &y, site)?;
    Ok(Value { graph, captures, y, residuals })
}

/// `own` rules are those of the library: their linearity is not checked each time.
fn by_jvp<A: Tree, B: Tree, S: Tree>(
    op: &'static str,
    own: bool,
    f: impl Fn(&A) -> (B, S),
    rule: impl Fn(&A, &B, &S, &A) -> B,
    x: &A,
    site: &Site,
) -> Result<B> {
    let value = value(op, f, x, site)?;
    let arguments = ((copy(x), copy(&value.y)), (copy(&value.residuals), copy(x)));
    let Recorded { graph, captures, result: dots } =
        record_body(op, &types(&arguments), &arguments, site, |((x, y), (s, dx))| rule(x, y, s, dx))?;
    same_types(op, "tangent like the result", &value.y, &dots, site)?;
    let known = types(&arguments.0).len() + types(&arguments.1.0).len();
    let n = types(x).len();
    if !own {
        linear(op, &graph, known..known + n, &captures, "the tangent", site)?;
    }
    // The rule was recorded as (x, y, residuals, dx, captures); its linear form takes the tangents last.
    let marks: Vec<bool> = (0..graph.inputs().len()).map(|i| (known..known + n).contains(&i)).collect();
    let pushed = guarded("transforming", Some(site), || linear_form(&graph, &marks))?;
    with_rule(x, value, captures, site, |b, operands| {
        b.inline(&pushed, &[operands.x, operands.results, operands.captures, operands.dx].concat())
    })
}

fn by_vjp<A: Tree, B: Tree, S: Tree>(
    forward: &impl Fn(&A) -> (B, S),
    backward: &impl Fn(&S, &B) -> A,
    x: &A,
    site: &Site,
) -> Result<B> {
    let op = "custom_vjp";
    let value = value(op, forward, x, site)?;
    let arguments = (copy(&value.residuals), copy(&value.y));
    let Recorded { graph, captures, result: cts } =
        record_body(op, &types(&arguments), &arguments, site, |(s, ct)| backward(s, ct))?;
    same_types(op, "cotangent like the argument", x, &cts, site)?;
    let known = types(&arguments.0).len();
    let cotangents = known..known + types(&value.y).len();
    linear(op, &graph, cotangents.clone(), &captures, "the cotangent", site)?;
    // (residuals, captures, dx) -> dy.
    let marks: Vec<bool> = (0..graph.inputs().len()).map(|i| cotangents.contains(&i)).collect();
    let pushed = guarded("transforming", Some(site), || transposed(&graph, &marks))?;
    let results = types(&value.y).len();
    with_rule(x, value, captures, site, |b, operands| {
        b.inline(&pushed, &[&operands.results[results..], operands.captures, operands.dx].concat())
    })
}

/// What a rule is given.
struct Operands<'a> {
    x: &'a [Var],
    captures: &'a [Var],
    /// `y`, then residuals.
    results: &'a [Var],
    dx: &'a [Var],
}

/// The call of a function with a rule. Both programs take the same operands: `x`, the captures of the function, those of
/// the rule.
fn with_rule<A: Tree, B: Tree, S: Tree>(
    x: &A,
    value: Value<B, S>,
    captures: Vec<Tensor>,
    site: &Site,
    rule: impl FnOnce(&mut Builder, &Operands<'_>) -> Result<Vec<Var>>,
) -> Result<B> {
    let leaves = x.tensors();
    let (args, own, results) = (leaves.len(), value.captures.len(), types(&value.y).len());
    let operands: Vec<Tensor> = leaves.into_iter().chain(value.captures).chain(captures).collect();
    let operand_types: Vec<Type> = operands.iter().map(Tensor::ty).collect();
    let inputs = |b: &mut Builder, types: &[Type]| -> Vec<Var> {
        types.iter().map(|ty| b.input(ty.clone())).collect()
    };

    let mut b = Builder::new();
    let vars = inputs(&mut b, &operand_types);
    let out = b.inline(&value.graph, &vars[..args + own])?;
    let body = b.finish(out);

    let mut b = Builder::new();
    let vars = inputs(&mut b, &operand_types);
    let made = inputs(&mut b, &body.output_types());
    let dx = inputs(&mut b, &operand_types[..args]);
    let given = Operands { x: &vars[..args], captures: &vars[args + own..], results: &made, dx: &dx };
    let out = rule(&mut b, &given)?;
    let rule = Arc::new(b.finish(out));

    let op = Call { kind: CallKind::Custom(Custom { rule, args, results }), body: Arc::new(body) }.into();
    let mut out = emit(&op, &operands.iter().collect::<Vec<_>>(), site)?;
    out.truncate(results);
    Ok(value.y.with_tensors(out))
}

fn same_types<T: Tree>(op: &'static str, what: &str, want: &T, got: &T, site: &Site) -> Result<()> {
    let (want, got) = (types(want), types(got));
    if want == got {
        return Ok(());
    }
    let detail = format!("the rule must return a {what} {want:?}, found {got:?}");
    Err(Error::new(ErrorKind::Argument { op, detail }, site.clone()))
}

/// That a recorded rule is linear in some of its inputs. Captures whose elements are all zero add nothing.
fn linear(
    op: &'static str,
    rule: &Graph,
    marked: std::ops::Range<usize>,
    captures: &[Tensor],
    what: &'static str,
    site: &Site,
) -> Result<()> {
    let zero = |t: &Tensor| t.array().is_some_and(|a| a.dtype().is_differentiable() && a.is_zero());
    let first = rule.inputs().len() - captures.len();
    let of = |i: usize| match i {
        _ if marked.contains(&i) => Linearity::Linear,
        _ if i >= first && zero(&captures[i - first]) => Linearity::Zero,
        _ => Linearity::Fixed,
    };
    let inputs: Vec<Linearity> = (0..rule.inputs().len()).map(of).collect();
    guarded("transforming", Some(site), || check_linear(rule, &inputs, what)).map_err(|e| {
        match e.kind().clone() {
            ErrorKind::Argument { detail, .. } => {
                Error::new(ErrorKind::Argument { op, detail }, e.site().clone()).or_at(site)
            }
            kind => Error::new(kind, e.site().clone()).or_at(site),
        }
    })
}
