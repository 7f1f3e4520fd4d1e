//! What kernels need beside the values they read and write: a back end tells, the planner finds room for it.
//!
//! A convolution packs its operands, a product its panels: how much is a matter of whoever runs them. So a back end
//! answers for its kernels through [`Target::needs`](crate::Target::needs), from the sizes alone, and takes what it
//! asked for from the arena. [`unknown`] answers where no back end was named.

use gradus_core::{Op, Type};

use crate::kernel::Work;

/// What one kernel needs beside the values it reads and writes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Room in the arena while it runs.
    pub workspace: usize,
    /// What it allocates while it runs, at most, as workspace and the values are: a function of the sizes alone.
    pub outside: usize,
    /// What each thread that takes part keeps from one kernel to the next, at most: in up to five pieces, each as large as
    /// the neediest kernel wants it.
    pub scratch: [usize; 5],
}

impl Needs {
    /// What two kernels need of which one runs at a time.
    pub fn either(self, other: Needs) -> Needs {
        Needs {
            workspace: self.workspace.max(other.workspace),
            outside: self.outside.max(other.outside),
            scratch: std::array::from_fn(|i| self.scratch[i].max(other.scratch[i])),
        }
    }
}

/// How a back end answers: it is given the work, and the types of the values read and of those written.
pub type Ask = fn(&Work, &[Type], &[Type]) -> Needs;

/// Bytes that a product packs at a guess.
const PACKED: usize = 1 << 20;

/// Columns that a convolution's kernel is packed by, at most.
const PANEL: usize = 32;

/// Bytes of a convolution's transformed input, at most, beyond twice the input.
const TRANSFORMED: usize = 32 << 20;

/// The answer where no back end is known: a product packs a little; a primitive may run by its reference evaluation,
/// with operands and results twice; a convolution also transforms or packs its input and its kernel.
pub fn unknown(work: &Work, reads: &[Type], writes: &[Type]) -> Needs {
    let touched: usize = reads.iter().chain(writes).map(Type::bytes).sum();
    let convolution = |x: &Type, kernel: &Type, groups: usize| {
        // What is read may have the shape of the value that a view is of.
        let columns = (kernel.shape.first().unwrap_or(&1) / groups.max(1)).max(1);
        let packed = kernel.bytes() / columns * (columns.next_multiple_of(PANEL) - columns);
        2 * touched + (2 * x.bytes()).min(TRANSFORMED) + packed
    };
    let outside = match work {
        Work::Primitive(Op::Conv(c)) => convolution(&reads[0], &reads[1], c.feature_groups * c.batch_groups),
        Work::Convolution(c) => {
            let groups = c.op.feature_groups * c.op.batch_groups;
            // Operands of one value are not read, and one read twice is there once.
            reads.first().map_or(0, |x| convolution(x, reads.get(1).unwrap_or(x), groups))
        }
        Work::Primitive(Op::External(p)) => 2 * touched + p.primitive().workspace(reads, writes),
        Work::Primitive(_) => 2 * touched,
        Work::Product(_) => (4 * touched).min(PACKED),
        Work::Slabs(slabs) => slabs.repacked() + PACKED,
        Work::Region(_) | Work::Assemble(_) | Work::Unpool(_) | Work::Control(..) => 0,
    };
    Needs { outside, ..Needs::default() }
}
