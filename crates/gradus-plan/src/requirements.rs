//! Memory that kernels use beside the values they read and write: the back end says how much, the planner reserves it.
//!
//! A convolution packs its operands, a product its panels: how much depends on the back end. So a back end
//! answers for its kernels through [`Target::requirements`](crate::Target::requirements), from the sizes alone, and takes what it
//! asked for from the arena. [`unknown`] answers where no back end was named.

use gradus_core::{Op, Type};

use crate::kernel::Work;

/// Memory that one kernel uses beside the values it reads and writes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Its workspace in the arena while it runs.
    pub workspace: usize,
    /// The most that it allocates while it runs: like the workspace, a function of the sizes alone.
    pub outside: usize,
    /// Scratch memory that each thread keeps from one kernel to the next: up to five pieces, each as large as the largest
    /// request for it.
    pub scratch: [usize; 5],
}

impl Requirements {
    /// The requirements of two kernels that run one after the other.
    pub fn either(self, other: Requirements) -> Requirements {
        Requirements {
            workspace: self.workspace.max(other.workspace),
            outside: self.outside.max(other.outside),
            scratch: std::array::from_fn(|i| self.scratch[i].max(other.scratch[i])),
        }
    }
}

/// The query that a back end answers: given the work, and the types of the values read and written.
pub type RequirementsQuery = fn(&Work, &[Type], &[Type]) -> Requirements;

/// Bytes that a product packs at a guess.
const PACKED: usize = 1 << 20;

/// Columns that a convolution's kernel is packed by, at most.
const PANEL: usize = 32;

/// Bytes of a convolution's transformed input, at most, beyond twice the input.
const TRANSFORMED: usize = 32 << 20;

/// The requirements assumed where no back end is known: a product packs a little; a primitive may run by its reference evaluation,
/// with operands and results twice; a convolution also transforms or packs its input and its kernel.
pub fn unknown(work: &Work, reads: &[Type], writes: &[Type]) -> Requirements {
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
            // Operands that are one repeated value are not read, and a value read twice is listed once.
            reads.first().map_or(0, |x| convolution(x, reads.get(1).unwrap_or(x), groups))
        }
        Work::Primitive(Op::External(p)) => 2 * touched + p.primitive().workspace(reads, writes),
        Work::Primitive(_) => 2 * touched,
        Work::Product(_) => (4 * touched).min(PACKED),
        Work::Blocked(group) => group.repacked() + PACKED,
        Work::Region(_) | Work::Assemble(_) | Work::Unpool(_) | Work::Control(..) => 0,
    };
    Requirements { outside, ..Requirements::default() }
}
