//! Which operation in registers a step is.

use gradus_core::ops::{Compare, Logic};
use gradus_core::{Binary, DType, Unary};
use gradus_plan::kernel::{Region, StepOp};

use crate::vmath::fused::Code;

/// The type of float that a step works on, if it is not a step of masks alone.
pub(super) fn float_of(region: &Region, step: usize) -> Option<DType> {
    let step = &region.steps[step];
    [step.dtype, step.out].into_iter().find(|d| d.is_wide_float())
}

/// Whether a step is one of arithmetic.
pub(super) fn arithmetic(region: &Region, i: usize) -> bool {
    let step = &region.steps[i];
    let wide = step.dtype.is_wide_float();
    match step.op {
        StepOp::Unary(f) => wide && single(f).is_some(),
        StepOp::Binary(_) => wide && pair(step.op, true).is_some(),
        StepOp::LinearMul { .. } | StepOp::Compare(_) | StepOp::Select => wide,
        StepOp::Logic(_) | StepOp::Not => step.dtype == DType::Bool,
        StepOp::Cast => step.dtype == DType::Bool && step.out.is_wide_float(),
        _ => false,
    }
}

/// The operation of a function of one argument.
pub(super) fn single(f: Unary) -> Option<Code> {
    Some(match f {
        Unary::Neg => Code::Neg,
        Unary::Abs => Code::Abs,
        Unary::Sign => Code::Sign,
        Unary::Recip | Unary::Powi(-1) => Code::Recip,
        Unary::Sqrt => Code::Sqrt,
        Unary::Rsqrt => Code::Rsqrt,
        Unary::Powi(2) => Code::Square,
        Unary::Powi(3) => Code::Cube,
        Unary::Powi(4) => Code::Fourth,
        Unary::Powi(-2) => Code::InverseSquare,
        _ => return None,
    })
}

/// The operation of a step of two operands, the accumulator being the first, or the second.
pub(super) fn pair(op: StepOp, first: bool) -> Option<Code> {
    Some(match (op, first) {
        (StepOp::Binary(Binary::Add), _) => Code::Add,
        (StepOp::Binary(Binary::Mul), _) => Code::Mul,
        (StepOp::Binary(Binary::Sub), true) => Code::Sub,
        (StepOp::Binary(Binary::Sub), false) => Code::Less,
        (StepOp::Binary(Binary::Div), true) => Code::Div,
        (StepOp::Binary(Binary::Div), false) => Code::Over,
        (StepOp::Binary(Binary::Max), true) => Code::Max,
        (StepOp::Binary(Binary::Max), false) => Code::MaxOf,
        (StepOp::Binary(Binary::Min), true) => Code::Min,
        (StepOp::Binary(Binary::Min), false) => Code::MinOf,
        (StepOp::LinearMul { both: true }, _) => Code::Tangents,
        (StepOp::LinearMul { both: false }, true) => Code::Linear,
        (StepOp::LinearMul { both: false }, false) => Code::Linked,
        (StepOp::Compare(Compare::Eq), _) => Code::Eq,
        (StepOp::Compare(Compare::Ne), _) => Code::Ne,
        (StepOp::Compare(Compare::Lt), true) | (StepOp::Compare(Compare::Gt), false) => Code::Lt,
        (StepOp::Compare(Compare::Le), true) | (StepOp::Compare(Compare::Ge), false) => Code::Le,
        (StepOp::Compare(Compare::Gt), true) | (StepOp::Compare(Compare::Lt), false) => Code::Gt,
        (StepOp::Compare(Compare::Ge), true) | (StepOp::Compare(Compare::Le), false) => Code::Ge,
        (StepOp::Logic(Logic::And), _) => Code::And,
        (StepOp::Logic(Logic::Or), _) => Code::Or,
        (StepOp::Logic(Logic::Xor), _) => Code::Xor,
        _ => return None,
    })
}
