//! Rules of the user's own, and checkpoints.

use std::sync::Arc;

use gradus_core::ops::{Call, CallKind};
use gradus_core::{Error, ErrorKind, Graph, Result, Site, Type};

use super::{CheckError, Recorded, check_grads, differentiable, record_body};
use crate::guard::guarded;
use crate::trace::{OrFail, emit, here};
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
/// The rule is checked when it is first met at each shape: that it gives the types of the result, and that it can be
/// transposed, which fails where it is not linear in `dx`, and where it is the [`jvp`](crate::jvp) of a loop or a branch:
/// forward mode carries values and tangents in one loop. Write such a rule with [`linearize`](crate::linearize). [`check_grads`](crate::check_grads) compares it with finite
/// differences.
///
/// ```
/// use gradus::{Tensor, custom_jvp, grad};
/// // x log x with derivative 0 instead of -∞ at 0.
/// let xlogx = custom_jvp(
///     |x: &Tensor| x.greater(0.0).select(x * x.log(), 0.0),
///     |x, dx| x.greater(0.0).select(dx * (x.log() + 1.0), 0.0),
/// );
/// assert_eq!(grad(|x: &Tensor| xlogx(x).sum(()))(&Tensor::from([0.0, 1.0])), Tensor::from([0.0, 1.0]));
/// ```
#[track_caller]
pub fn custom_jvp<A: Tree, B: Tree, F: Fn(&A) -> B, R: Fn(&A, &A) -> B>(f: F, rule: R) -> impl Fn(&A) -> B {
    let site = here();
    move |x| custom(&f, &rule, x, &site).or_fail()
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

fn custom<A: Tree, B: Tree>(
    f: &impl Fn(&A) -> B,
    rule: &impl Fn(&A, &A) -> B,
    x: &A,
    site: &Site,
) -> Result<B> {
    differentiable("custom_jvp", x, site)?;
    let leaves = x.tensors();
    let types: Vec<Type> = leaves.iter().map(Tensor::ty).collect();
    let Recorded { graph: primal, captures, result } = record_body("custom_jvp", &types, x, site, f)?;
    differentiable("custom_jvp", &result, site)?;
    let pair = (x.map(&mut Tensor::clone), x.map(&mut Tensor::clone));
    let both = [&types[..], &types].concat();
    let Recorded { graph: tangent, captures: more, result: dots } =
        record_body("custom_jvp", &both, &pair, site, |(x, dx)| rule(x, dx))?;
    let types_of = |t: &B| t.tensors().iter().map(Tensor::ty).collect::<Vec<_>>();
    if types_of(&result) != types_of(&dots) {
        let detail = format!(
            "the rule must return a tangent like the result {:?}, found {:?}",
            types_of(&result),
            types_of(&dots)
        );
        return Err(Error::new(ErrorKind::Argument { op: "custom_jvp", detail }, site.clone()));
    }
    guarded("transforming", Some(site), || check_linear(&tangent, types.len(), site))?;

    // Both programs take the same operands: x, the captures of f, the captures of the rule.
    let operands: Vec<Tensor> =
        leaves.iter().cloned().chain(captures.iter().cloned()).chain(more.iter().cloned()).collect();
    let operand_types: Vec<Type> = operands.iter().map(Tensor::ty).collect();
    let (n, first, second) = (types.len(), captures.len(), more.len());
    let mut b = gradus_core::Builder::new();
    let args: Vec<_> = operand_types.iter().map(|ty| b.input(ty.clone())).collect();
    let out = b.inline(&primal, &args[..n + first])?;
    let body = b.finish(out);
    let mut b = gradus_core::Builder::new();
    let args: Vec<_> = operand_types.iter().map(|ty| b.input(ty.clone())).collect();
    // A tangent for every float operand: those of captures are not part of the rule.
    let floats: Vec<_> =
        operand_types.iter().map(|ty| ty.dtype.is_float().then(|| b.input(ty.clone()))).collect();
    let dx: Vec<_> = floats[..n].iter().copied().flatten().collect();
    let rule_args: Vec<_> =
        args[..n].iter().chain(&dx).chain(&args[n + first..n + first + second]).copied().collect();
    let out = b.inline(&tangent, &rule_args)?;
    let rule = b.finish(out);
    let op = Call { kind: CallKind::Custom(Arc::new(rule)), body: Arc::new(body) }.into();
    Ok(result.with_tensors(emit(&op, &operands.iter().collect::<Vec<_>>(), site)?))
}

/// A rule that cannot be transposed is not linear in its tangent.
fn check_linear(rule: &Graph, n: usize, site: &Site) -> Result<()> {
    let marks: Vec<bool> = (0..rule.inputs().len()).map(|i| (n..2 * n).contains(&i)).collect();
    gradus_core::transforms::transpose(rule, &marks).map(drop).map_err(|e| {
        let detail = format!("the rule must be linear in the tangent: {}", e.kind());
        Error::new(ErrorKind::Argument { op: "custom_jvp", detail }, site.clone())
    })
}
