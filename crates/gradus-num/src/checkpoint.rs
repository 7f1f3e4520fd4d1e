//! Checkpointed loops: the gradient of a long loop in the memory of a few states.
//!
//! Reverse mode needs a loop's states in the opposite order to that in which they are computed. Storing all of
//! them costs memory in proportion to the steps; storing `slots` of them and recomputing the others costs
//! time. For a known number of steps the *binomial* schedule (Griewank and Walther, "Algorithm 799: revolve",
//! ACM TOMS 26, 2000) makes the fewest recomputations possible: with `c` slots and at most `r` passes over any
//! step it reverses `β(c, r) = (c + r)! / (c! r!)` steps, so a million steps need 10 slots and 15 passes.
//! For an unknown number, checkpoints are placed and thinned out as the loop runs (Wang, Moin and Iaccarino,
//! "Minimal repetition dynamic checkpointing", SIAM J. Sci. Comput. 31, 2009), and the stretches between them
//! are reversed with the binomial schedule.
//!
//! [`reverse_loop`] and [`reverse_while`] run a schedule over any state; [`gradient`] and [`gradient_while`] put a tape under it.

mod gradient;
mod schedule;

pub use gradient::{LoopBody, LoopGradient, gradient, gradient_while};
pub use schedule::{LoopCost, least_advances, reverse_loop, reverse_while, split};
