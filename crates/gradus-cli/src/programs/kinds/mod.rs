//! The kinds of steps: each draws its operands and parameters, appends what it needs, and gives the slot of its result.

mod control;
mod elementwise;
mod external;
mod index;
mod library;
mod linear;
mod movement;
mod random;
mod reduce;

use super::grow::Grower;

/// A kind of step; `None` where no operand fits.
pub(super) type Draw = fn(&mut Grower<'_>) -> Option<usize>;

/// Kinds with their weights.
const FAMILIES: &[(usize, &[(usize, Draw)])] = &[
    (30, elementwise::KINDS),
    (18, movement::KINDS),
    (12, reduce::KINDS),
    (10, index::KINDS),
    (9, linear::KINDS),
    (3, random::KINDS),
    (5, control::KINDS),
    (6, library::KINDS),
    (2, external::KINDS),
];

/// Appends a step of any kind.
pub(super) fn draw(g: &mut Grower<'_>) -> Option<usize> {
    let kinds = weighted(g, FAMILIES);
    weighted(g, kinds)(g)
}

fn weighted<T: Copy>(g: &mut Grower<'_>, list: &[(usize, T)]) -> T {
    let total: usize = list.iter().map(|l| l.0).sum();
    let mut at = g.rng.below(total);
    for &(weight, item) in list {
        match at.checked_sub(weight) {
            None => return item,
            Some(rest) => at = rest,
        }
    }
    list[0].1
}

/// A program that reaches the paths of large operands: attention, convolutions, long rows, products.
pub(super) fn large(g: &mut Grower<'_>) {
    weighted(g, library::LARGE)(g);
}
